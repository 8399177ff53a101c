// The run: what the page is about.  Read once, and never changed.
//
// Tasks are known by their index in the columns, which go lane by lane, and by time within one.
// Nothing overlaps in a lane, so both `start` and `end` are sorted there.  Times are in
// microseconds, since the first submission.

const run = JSON.parse(document.getElementById("run").textContent);

const DONE = 0, FAILED = 1, CANCELLED = 2, RUNNING = 3;
const OUTCOMES = ["done", "failed", "cancelled", "running when the file ended"];
const isUndone = task => outcome[task] === FAILED || outcome[task] === CANCELLED;
const SHADES = 8;  // how many colours names have
const UNKNOWN = 0xffffffff;  // a dependency that the file does not have

function column(type, base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new type(bytes.buffer);
}

const start = column(Float64Array, run.start);
const end = column(Float64Array, run.end);
const submitted = column(Float64Array, run.submitted);  // NaN where not known
const name = column(Uint32Array, run.name);
const number = column(Uint32Array, run.number);
const outcome = column(Uint8Array, run.outcome);
const final = column(Uint8Array, run.final);
const critical = column(Uint8Array, run.critical);
const needs = column(Uint32Array, run.needs);
const needsUntil = column(Uint32Array, run.needsUntil);
const itemAt = column(Float64Array, run.itemAt);
const itemsUntil = column(Uint32Array, run.itemsUntil);
const COUNT = start.length;

const nameOf = task => run.names[name[task]];
const needsOf = task => needs.subarray(task ? needsUntil[task - 1] : 0, needsUntil[task]);

// Lanes and rows.

const lanes = [];  // {row, depth, first, until, firstItem, untilItem}
const rows = run.rows.map(([queue, thread, busy]) => ({queue, thread, busy, lanes: []}));
for (const [row, count] of run.lanes) {
  const before = lanes.at(-1);
  const first = before ? before.until : 0;
  const lane = {
    row, first, until: first + count, depth: rows[row].lanes.length,
    firstItem: before ? before.untilItem : 0, untilItem: itemsUntil[lanes.length],
  };
  lanes.push(lane);
  rows[row].lanes.push(lane);
}

// The first index from `low` to `high` whose value in the sorted `values` is not below `wanted`.
function lowerBound(values, wanted, low, high) {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

// The lane of a task.
function laneOf(task) {
  let low = 0, high = lanes.length - 1;
  while (low < high) {  // the first that ends beyond the task
    const middle = (low + high) >>> 1;
    if (lanes[middle].until <= task) low = middle + 1; else high = middle;
  }
  return lanes[low];
}

// Sums over the tasks before each: what is in a range of them, the page then knows in one step.

function sums(value) {
  const result = new Float64Array(COUNT + 1);
  for (let task = 0; task < COUNT; task++) result[task + 1] = result[task] + value(task);
  return result;
}

// Busy time, by colour: what has one colour are tasks of one name, or of some.
const timeIn = shade => task => (name[task] % SHADES === shade ? end[task] - start[task] : 0);
const busyBefore = Array.from({length: SHADES}, (_, shade) => sums(timeIn(shade)));
const undoneBefore = sums(isUndone);
const criticalBefore = sums(task => critical[task]);

// Tasks in the order of time: final results, as they came; and the critical path.

const selectTasks = wanted => {
  const found = [];
  for (let task = 0; task < COUNT; task++) if (wanted(task)) found.push(task);
  return found;
};
const isResult = task => final[task] && outcome[task] === DONE;
const results = Float64Array.from(selectTasks(isResult), task => end[task]).sort();
const inTime = (a, b) => start[a] - start[b] || end[a] - end[b];
const path = Uint32Array.from(selectTasks(task => critical[task]).sort(inTime));
const pathStart = Float64Array.from(path, task => start[task]);

// Who needs a task: the other direction of `needs`, made when first asked for.
const dependentsOf = (() => {
  let dependents, before;
  return task => {
    if (!before) {
      before = new Uint32Array(COUNT + 1);
      for (const need of needs) if (need !== UNKNOWN) before[need + 1]++;
      for (let i = 0; i < COUNT; i++) before[i + 1] += before[i];
      dependents = new Uint32Array(before[COUNT]);
      const next = before.slice();
      for (let i = 0; i < COUNT; i++) {
        for (const need of needsOf(i)) if (need !== UNKNOWN) dependents[next[need]++] = i;
      }
    }
    return dependents.subarray(before[task], before[task + 1]);
  };
})();

const byNumber = new Map();
for (let task = 0; task < COUNT; task++) byNumber.set(number[task], task);

// What people read.

const UNITS = [[60e6, "min"], [1e6, "s"], [1e3, "ms"], [1, "\u00b5s"]];

// A time in a unit that suits it, with three or four digits.
function duration(microseconds) {
  if (!microseconds) return "0 s";
  const sign = microseconds < 0 ? "\u2212" : "";
  const size = Math.abs(microseconds);
  const [scale, unit] = UNITS.find(([scale]) => size >= scale) || [1e-3, "ns"];
  return `${sign}${significant(size / scale)}\u00a0${unit}`;
}

const significant = value =>
  value >= 1000 ? counted(Math.round(value)) : String(Number(value.toPrecision(3)));
const counted = value => value.toLocaleString("en");
const percent = share => `${(100 * share).toFixed(share >= 0.0005 && share < 0.0995 ? 1 : 0)}\u00a0%`;
const queueOf = row => run.queues[row.queue];

// A point of time, to the microsecond.
const moment = time => Math.abs(time) >= 1e6
  ? `${Number((time / 1e6).toFixed(6))}\u00a0s`
  : `${Number((time / 1e3).toFixed(3))}\u00a0ms`;
