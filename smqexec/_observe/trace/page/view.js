// The view: the visible part of the run, and where it is on the screen.
//
// The rows are drawn on a canvas that is as large as their visible part.  It sticks to a box that scrolls: up
// and down is the browser's own scrolling, left and right are `view.from` and `view.until`.

const AXIS = 26;  // pixels: the height of the time axis above the rows
const LANE = 20, LEAST_LANE = 4, MOST_ROW = 130;  // of a row with many lanes
const GAP = 3;  // between rows
const HEAD = 24;  // the height of a queue's heading
const LEAST_SPAN = 0.1;  // microseconds: more magnification than clocks are good for

const box = byId("rows");
const canvas = byId("slices");
const extent = byId("extent");
const overview = byId("overview");

const SPAN = Math.max(run.span, 1);
const MARGIN = SPAN * 0.02, WHOLE = SPAN + 2 * MARGIN;  // around the run, and all that can be shown
const view = {from: 0, until: 0, width: 0, height: 0, gutter: 0, selected: -1, hovered: -1, path: true};

const widthOfTime = () => Math.max(view.width - view.gutter, 1);
const scale = () => widthOfTime() / (view.until - view.from);  // pixels for a microsecond
const xOf = time => view.gutter + (time - view.from) * scale();
const timeAt = x => view.from + (x - view.gutter) / scale();

// Show the time from `from`, for `span`: within the run, and a little around it.
function show(from, span) {
  span = clamp(span, LEAST_SPAN, WHOLE);
  view.from = clamp(from, -MARGIN, SPAN + MARGIN - span);
  view.until = view.from + span;
  redraw();
}

const showAll = () => show(-Infinity, Infinity);
const pan = pixels => show(view.from + pixels / scale(), view.until - view.from);

// Magnify by `factor` around the point `x`.
function zoom(factor, x = view.gutter + widthOfTime() / 2) {
  const time = timeAt(x);
  const span = clamp((view.until - view.from) / factor, LEAST_SPAN, WHOLE);
  show(time - span * (x - view.gutter) / widthOfTime(), span);
}

// Set the places of rows and lanes: `y` from the top of all rows, and `height`.
let rowsHeight = GAP;
for (const row of rows) {
  row.y = rowsHeight;
  const count = row.lanes.length;
  const height = row.thread ? clamp(MOST_ROW / count, LEAST_LANE, LANE) : HEAD / count;
  row.height = height * count;
  row.lanes.forEach((lane, depth) => { lane.y = row.y + depth * height; lane.height = height; });
  rowsHeight += row.height + GAP;
}

const screenY = y => AXIS + y - box.scrollTop;

// Bring a task into sight, at a magnification where one sees it.
function reveal(task, magnify = false) {
  const length = end[task] - start[task], middle = (start[task] + end[task]) / 2;
  const span = view.until - view.from;
  const seen = length * scale();
  if (length && (magnify || seen < 3 || seen > widthOfTime() * 0.9)) show(middle - length * 3, length * 6);
  else if (start[task] < view.from || end[task] > view.until) show(middle - span / 2, span);
  const {row} = laneOf(task), space = view.height - AXIS;
  if (row.y < box.scrollTop) box.scrollTop = row.y - GAP;
  else if (row.y + row.height > box.scrollTop + space) box.scrollTop = row.y + row.height - space + GAP;
  redraw();
}

// How far a task is from `time`: 0 while it runs.
const distance = (task, time) => Math.max(start[task] - time, time - end[task], 0);

// The task of a lane, which has tasks, that is running at `time`, or nearest to it.
function nearest(lane, time) {
  const after = Math.min(lowerBound(end, time, lane.first, lane.until), lane.until - 1);
  const before = Math.max(after - 1, lane.first);
  return distance(before, time) < distance(after, time) ? before : after;
}

// The task at a point of the canvas, or the nearest one within `reach` pixels; -1 if there is none.
function taskAt(x, y, reach = 4) {
  if (y < AXIS || x < view.gutter) return -1;
  const time = timeAt(x), down = y - AXIS + box.scrollTop;
  const lane = lanes.find(lane => lane.y <= down && down < lane.y + lane.height);
  if (!lane || lane.first === lane.until) return -1;
  const task = nearest(lane, time);
  return distance(task, time) * scale() < reach ? task : -1;
}

// Fit the canvases to their boxes, and to the screen's own pixels.
function resize() {
  const ratio = window.devicePixelRatio || 1;
  view.width = box.clientWidth;
  view.height = box.clientHeight;
  view.gutter = view.width < 600 ? 90 : 150;
  extent.style.height = `${Math.max(rowsHeight + AXIS, view.height)}px`;
  for (const each of [canvas, overview]) {
    each.width = Math.round(each.clientWidth * ratio);
    each.height = Math.round(each.clientHeight * ratio);
  }
  redraw();
}

// Draw once before the browser shows its next picture, however much changes till then.
let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; draw(); });
}
