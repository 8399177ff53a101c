// The run: tasks, queues, rows and lanes.  Read once, and never changed.
//
// A task is an index of the columns, which go lane by lane, and by time within a lane.  Nothing overlaps in
// a lane, so both `start` and `end` are sorted there.  Times are microseconds since the first submission.

const byId = id => document.getElementById(id);
const run = JSON.parse(byId("run").textContent);

const DONE = 0, FAILED = 1, CANCELLED = 2, RUNNING = 3;
const OUTCOMES = ["done", "failed", "cancelled", "running when the file ended"];
const SIGN = ["", "\u2715 ", "\u2298 ", "\u25b6 "];  // by outcome
const UNKNOWN = -1;  // a dependency that the file does not have

const start = Float64Array.from(run.start), end = Float64Array.from(run.end);
const {submitted} = run;  // null where not known
const name = Uint32Array.from(run.name), number = Uint32Array.from(run.number);
const outcome = Uint8Array.from(run.outcome);
const COUNT = start.length;

const nameOf = task => run.names[name[task]];
const isUndone = task => outcome[task] === FAILED || outcome[task] === CANCELLED;
const byNumber = new Map(run.number.map((each, task) => [each, task]));

// Lanes and rows.

const lanes = [];  // {row, first, until, items}
const rows = run.rows.map(([queue, thread, busy]) => ({queue, thread, busy, lanes: []}));
const laneOfTask = new Uint32Array(COUNT);
for (const [row, count] of run.lanes) {
  const first = lanes.at(-1)?.until ?? 0;
  const lane = {row: rows[row], first, until: first + count, items: []};
  laneOfTask.fill(lanes.length, first, lane.until);
  lanes.push(lane);
  rows[row].lanes.push(lane);
}
const laneOf = task => lanes[laneOfTask[task]];

// The times of items, sorted.  If the program was killed, their task may not be in the file.
run.producers.forEach((task, item) => { if (task !== UNKNOWN) laneOf(task).items.push(run.items[item]); });
for (const {items} of lanes) items.sort((a, b) => a - b);

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

// The first index from `low` to `high` whose value in the sorted `values` is not below `wanted`.
function lowerBound(values, wanted, low, high) {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

// Sums over the tasks before each task: the page then sums up a range of tasks in one step.

function sums(value) {
  const result = new Float64Array(COUNT + 1);
  for (let task = 0; task < COUNT; task++) result[task + 1] = result[task] + value(task);
  return result;
}
const busyBefore = sums(task => end[task] - start[task]);
const undoneBefore = sums(isUndone);

// The dependents of each task: the other direction of `needs`.
const {needs} = run, dependents = needs.map(() => []);
needs.forEach((each, task) => { for (const need of each) if (need !== UNKNOWN) dependents[need].push(task); });

// Tasks in the order of time: final results, as they came; and the critical path.

const isFinal = task => outcome[task] !== RUNNING && !dependents[task].length;
const selectTasks = wanted => Array.from({length: COUNT}, (_, task) => task).filter(wanted);
const inTime = (a, b) => start[a] - start[b] || end[a] - end[b];
const isResult = task => isFinal(task) && outcome[task] === DONE;
const results = Float64Array.from(selectTasks(isResult), task => end[task]).sort();
const {path} = run, pathStart = Float64Array.from(path, task => start[task]);
const critical = new Uint8Array(COUNT);
for (const task of path) critical[task] = 1;
const criticalBefore = sums(task => critical[task]);

// Words for numbers.

const UNITS = [[60e6, "min"], [1e6, "s"], [1e3, "ms"], [1, "\u00b5s"]];

// A time in a unit that suits it, with three or four digits.
function duration(microseconds) {
  if (!microseconds) return "0 s";
  const [scale, unit] = UNITS.find(([scale]) => microseconds >= scale) || [1e-3, "ns"];
  return `${significant(microseconds / scale)}\u00a0${unit}`;
}

const significant = value =>
  value >= 1000 ? counted(Math.round(value)) : String(Number(value.toPrecision(3)));
const counted = value => value.toLocaleString("en");

// A point of time, to the microsecond.
const moment = time => Math.abs(time) >= 1e6
  ? `${Number((time / 1e6).toFixed(6))}\u00a0s`
  : `${Number((time / 1e3).toFixed(3))}\u00a0ms`;
