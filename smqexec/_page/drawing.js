// The drawing of the rows.
//
// Only what is visible is drawn, and no more than a mark for each pixel of a lane: tasks narrower
// than a pixel are one mark, as strong as they are busy.  So a picture costs what is on the
// screen, however many tasks there are.

// Each reads well under black text, and stands out from white and from black.
const COLOURS = [
  "#4c90d9", "#d9812a", "#2fa36b", "#a17ed8", "#1fa0a8", "#d9719f", "#98962a", "#b08560",
];
const FAILED_COLOUR = "#e25555", CANCELLED_COLOUR = "#8a8f98", INK = "#000";
const LEVELS = 6;  // of strength
const FADED = 0.2;  // the strength of what a search has not found

const context = canvas.getContext("2d", {alpha: false});
const FONT = "12px system-ui, sans-serif", BOLD = "bold " + FONT;

let theme = {};  // the colours of the style: see page.css
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const key of ["paper", "text", "faint", "line", "band", "accent", "mark"]) {
    theme[key] = style.getPropertyValue(`--${key}`).trim();
  }
}

// Not by colour alone: what failed is hatched to the right, what was cancelled to the left.
function hatch(rising) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.strokeStyle = "rgb(0 0 0 / 45%)";
  pen.lineWidth = 2;
  for (const shift of [-8, 0, 8]) {
    pen.moveTo(shift, rising ? 8 : 0);
    pen.lineTo(shift + 8, rising ? 0 : 8);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}
const HATCH = {[FAILED]: hatch(true), [CANCELLED]: hatch(false)};

const colourOf = task =>
  outcome[task] === FAILED ? FAILED_COLOUR
  : outcome[task] === CANCELLED ? CANCELLED_COLOUR
  : COLOURS[name[task] % SHADES];

const drawn = {marks: 0, slices: 0, arrows: 0, steps: 0, frames: 0, milliseconds: 0};  // in the last picture

function draw() {
  const began = performance.now();
  drawn.marks = drawn.slices = drawn.arrows = drawn.steps = 0;
  const ratio = window.devicePixelRatio || 1;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.globalAlpha = 1;
  context.fillStyle = theme.paper;
  context.fillRect(0, 0, view.width, view.height);
  context.save();
  context.beginPath();
  context.rect(view.gutter, AXIS, widthOfTime(), view.height - AXIS);
  context.clip();
  drawGrid();
  drawStopped();
  const visible = rows.filter(row => screenY(row.y + row.height) > AXIS && screenY(row.y) < view.height);
  for (const row of visible) for (const lane of row.lanes) drawLane(lane);
  if (!COUNT) drawNothing();
  if (view.path) drawPath();
  drawOutline(view.hovered, theme.text, 1.5);
  if (view.selected >= 0) drawArrows(view.selected);
  drawOutline(view.selected, theme.text, 2.5);
  context.restore();
  drawGutter(visible);
  drawAxis();
  drawOverview();
  drawn.frames++;
  drawn.milliseconds = performance.now() - began;
}

// -- Slices

// One lane.  Marks that look the same and touch each other are drawn as one.
function drawLane(lane) {
  const y = screenY(lane.y), height = lane.height - (lane.height > 6 ? 1 : 0);
  if (y + height < AXIS || y > view.height) return;
  let mark = null;
  const flush = () => { if (mark) drawMark(mark, y, height); mark = null; };
  let task = lowerBound(end, view.from, lane.first, lane.until);
  while (task < lane.until && start[task] <= view.until) {
    const left = xOf(start[task]), right = xOf(end[task]);
    if (right - left >= 1.5) {
      flush();
      drawSlice(task, left, right, y, height);
      task++;
      continue;
    }
    const column = Math.floor(left);
    let next = lowerBound(start, timeAt(column + 1), task + 1, lane.until);
    if (next > task + 1 && xOf(end[next - 1]) - xOf(start[next - 1]) >= 1.5) next--;  // it reaches beyond
    const alone = next === task + 1;
    const {busy, shade} = blend(task, next);
    const level = alone ? LEVELS : Math.max(Math.ceil(Math.min(busy * scale(), 1) * LEVELS), 2);
    const undone = undoneBefore[next] > undoneBefore[task];
    if (alone && undone) {
      flush();
      drawSign(task, left, y, height);
      task++;
      continue;
    }
    const onPath = view.path && criticalBefore[next] > criticalBefore[task];
    const found = !search.active || search.before[next] > search.before[task];
    const colour = alone ? colourOf(task) : COLOURS[shade];
    if (mark && mark.until === column && mark.colour === colour && mark.level === level
        && mark.undone === undone && mark.onPath === onPath && mark.found === found) {
      mark.until++;
    } else {
      flush();
      mark = {from: column, until: column + 1, colour, level, undone, onPath, found};
    }
    task = next;
  }
  flush();
  drawItems(lane, y, height);
}

// A task that is too narrow for its hatching.
function drawSign(task, x, y, height) {
  context.globalAlpha = search.active && !search.found[task] ? FADED : 1;
  context.font = BOLD;
  context.fillStyle = colourOf(task);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(SIGN[outcome[task]].trim(), x, y + height / 2);
  context.globalAlpha = 1;
  drawn.marks++;
}

// How long the tasks from `task` to `next` were busy, and with what most.
function blend(task, next) {
  let busy = 0, most = -1, shade = 0;
  for (let each = 0; each < SHADES; each++) {
    const time = busyBefore[each][next] - busyBefore[each][task];
    busy += time;
    if (time > most) { most = time; shade = each; }
  }
  return {busy, shade};
}

function drawMark(mark, y, height) {
  const width = mark.until - mark.from;
  context.globalAlpha = mark.level / LEVELS * (mark.found ? 1 : FADED);
  context.fillStyle = mark.colour;
  context.fillRect(mark.from, y, width, height);
  context.globalAlpha = 1;
  if (mark.undone) {
    context.fillStyle = FAILED_COLOUR;
    context.fillRect(mark.from, y, Math.max(width, 2), Math.min(4, height / 2));
  }
  if (mark.onPath) {
    context.fillStyle = theme.accent;
    context.fillRect(mark.from, y + height - 3, width, 3);
  }
  drawn.marks++;
}

function drawSlice(task, left, right, y, height) {
  left = Math.max(left, view.gutter - 4);
  right = Math.min(right, view.width + 4);
  const width = Math.max(right - left - (right - left > 4 ? 0.5 : 0), 1);
  context.globalAlpha = search.active && !search.found[task] ? FADED : 1;
  context.fillStyle = colourOf(task);
  context.fillRect(left, y, width, height);
  if (isUndone(task)) {
    context.fillStyle = HATCH[outcome[task]];
    context.fillRect(left, y, width, height);
  }
  if (view.path && critical[task]) {
    context.fillStyle = theme.accent;
    context.fillRect(left, y + height - 3, width, 3);
  }
  if (width > 24 && height >= 12) drawName(task, left, right, y, height);
  context.globalAlpha = 1;
  drawn.slices++;
}

const LETTER = 6.2;  // pixels, about: the width of one in FONT
const SIGN = ["", "\u2715 ", "\u2298 ", "\u25b6 "];  // by outcome

function drawName(task, left, right, y, height) {
  left = Math.max(left, view.gutter) + 4;
  const space = right - left - 3;
  let text = SIGN[outcome[task]] + nameOf(task);
  const letters = Math.floor(space / LETTER);
  if (text.length > letters) {
    if (letters < 3) return;
    text = text.slice(0, letters - 1) + "\u2026";
  }
  context.font = FONT;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillStyle = INK;
  context.fillText(text, left, y + height / 2 + 0.5, space);
}

// Items: a tick for each, and one at most for each pixel.
function drawItems(lane, y, height) {
  context.fillStyle = theme.mark;
  let item = lowerBound(itemAt, view.from, lane.firstItem, lane.untilItem);
  while (item < lane.untilItem && itemAt[item] <= view.until) {
    const x = Math.floor(xOf(itemAt[item]));
    context.fillRect(x, y + height / 2, 1, height / 2 - 3);
    drawn.marks++;
    item = lowerBound(itemAt, timeAt(x + 2), item + 1, lane.untilItem);
  }
}

function drawOutline(task, colour, width) {
  if (task < 0) return;
  const lane = laneOf(task);
  const left = Math.max(xOf(start[task]), view.gutter - 9), right = Math.min(xOf(end[task]), view.width + 9);
  context.strokeStyle = colour;
  context.lineWidth = width;
  if (right < view.gutter - 8 || left > view.width + 8) return;
  context.strokeRect(left - 1, screenY(lane.y) - 1, Math.max(right - left, 2) + 2, lane.height + 1);
}

// -- Arrows and the critical path

const MOST_ARROWS = 500;
const LEAST_STEP = 8;  // pixels, along the critical path

const middleOf = task => { const lane = laneOf(task); return screenY(lane.y + lane.height / 2); };

// The part of a line between the left and right borders, and some pixels beyond; none where it is
// not seen.  At high magnification the whole has millions of pixels, and browsers would draw them.
function clippedLine(x0, y0, x1, y1) {
  const least = view.gutter - 50, most = view.width + 50;
  if (Math.max(x0, x1) < least || Math.min(x0, x1) > most) return null;
  const point = (x, y) => {
    const within = Math.min(Math.max(x, least), most);
    return within === x ? [x, y] : [within, y0 + (y1 - y0) * (within - x0) / (x1 - x0)];
  };
  return [...point(x0, y0), ...point(x1, y1)];
}

// From what the task needed to it, and, dashed, from it to what needed it.  Of those that fall together one.
function drawArrows(task) {
  const places = new Set();
  const drawArrow = (from, to) => {
    const line = clippedLine(xOf(end[from]), middleOf(from), xOf(start[to]), middleOf(to));
    const place = line?.map(each => Math.round(each / 4)).join(" ");
    if (!line || places.has(place)) return;
    places.add(place);
    strokeArrow(...line);
    drawn.arrows++;
  };
  context.lineWidth = 1.5;
  context.strokeStyle = context.fillStyle = theme.text;
  for (const need of needsOf(task).subarray(0, MOST_ARROWS)) if (need !== UNKNOWN) drawArrow(need, task);
  context.setLineDash([5, 4]);
  for (const dependent of dependentsOf(task).subarray(0, MOST_ARROWS)) drawArrow(task, dependent);
  context.setLineDash([]);
}

function strokeArrow(x0, y0, x1, y1) {
  const bend = Math.max(Math.min(Math.abs(x1 - x0) / 2, 60), 12);
  context.beginPath();
  context.moveTo(x0, y0);
  context.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1 - 5, y1);
  context.stroke();
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x1 - 7, y1 - 4);
  context.lineTo(x1 - 7, y1 + 4);
  context.fill();
}

// A line along the critical path, from task to task.  Where these are too many to tell one step from
// the next, their marks in the slices are all there is.
function drawPath() {
  context.strokeStyle = theme.accent;
  context.lineWidth = 1.5;
  context.beginPath();
  let i = Math.max(lowerBound(pathStart, view.from, 0, path.length) - 1, 0);
  while (i + 1 < path.length && pathStart[i] <= view.until) {
    const x = xOf(pathStart[i]), next = lowerBound(pathStart, timeAt(x + LEAST_STEP), i + 1, path.length);
    if (next === i + 1) drawStep(path[i], path[next]);
    i = Math.max(next - 1, i + 1);
  }
  context.stroke();
}

function drawStep(from, to) {
  const line = clippedLine(xOf(end[from]), middleOf(from), xOf(start[to]), middleOf(to));
  if (!line) return;
  context.moveTo(line[0], line[1]);
  context.lineTo(line[2], line[3]);
  drawn.steps++;
}

// -- What is around the slices

function drawNothing() {
  context.fillStyle = theme.faint;
  context.font = FONT;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText("There is no task in this file.", view.gutter + widthOfTime() / 2, view.height / 2);
}

function drawStopped() {
  for (const [from, until] of run.stopped) {
    const left = Math.max(xOf(from), view.gutter), right = Math.min(xOf(until), view.width);
    if (right < view.gutter || left > view.width) continue;
    context.fillStyle = theme.band;
    context.fillRect(left, AXIS, Math.max(right - left, 1), view.height);
    if (right - left < 60) continue;
    context.fillStyle = theme.faint;
    context.font = FONT;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    context.fillText("stopped", left + 6, view.height - 8);
  }
}

// Round times some hundred pixels apart.
function* ticks() {
  const apart = (view.width < 600 ? 75 : 110) / scale();
  const power = 10 ** Math.floor(Math.log10(apart));
  const step = [1, 2, 5, 10].map(digit => digit * power).find(step => step >= apart);
  for (let i = Math.ceil(Math.max(view.from, 0) / step); i * step <= view.until; i++) yield [i * step, step];
}

function drawGrid() {
  context.fillStyle = theme.line;
  for (const [time] of ticks()) context.fillRect(Math.round(xOf(time)), AXIS, 1, view.height);
}

function drawAxis() {
  context.fillStyle = theme.paper;
  context.fillRect(0, 0, view.width, AXIS);
  context.fillStyle = theme.line;
  context.fillRect(0, AXIS - 1, view.width, 1);
  context.fillStyle = theme.faint;
  context.font = FONT;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const [time, step] of ticks()) {
    const x = xOf(time);
    if (x > view.gutter + 20 && x < view.width - 24) context.fillText(tickText(time, step), x, AXIS / 2);
  }
}

// A point of time, so precise that the next one, `step` later, looks different.
function tickText(time, step) {
  const [scale, unit] = UNITS.find(([scale]) => Math.abs(time) >= scale && scale < 60e6) || UNITS.at(-1);
  const digits = Math.min(Math.max(Math.ceil(-Math.log10(step / scale) - 1e-9), 0), 9);
  return `${(time / scale).toFixed(digits)}\u00a0${unit}`;
}

function drawGutter(visible) {
  const narrow = view.gutter < 120;
  context.fillStyle = theme.paper;
  context.fillRect(0, AXIS, view.gutter, view.height);
  context.save();
  context.beginPath();
  context.rect(0, AXIS, view.width, view.height);
  context.clip();
  context.textBaseline = "middle";
  for (const row of visible) {
    const y = screenY(row.y), middle = y + Math.min(row.height, LANE) / 2;
    if (!row.thread) {
      context.fillStyle = theme.line;
      context.fillRect(0, y - 2, view.width, 1);
      context.fillStyle = theme.text;
      context.font = BOLD;
      context.textAlign = "left";
      context.fillText(clipped(queueOf(row), view.gutter - 12), 8, y + row.height / 2, view.gutter - 12);
      continue;
    }
    const share = row.busy / SPAN;
    context.font = FONT;
    context.fillStyle = theme.faint;
    context.textAlign = "left";
    context.fillText(narrow ? row.thread : `slot ${row.thread}`, 16, middle);
    context.textAlign = "right";
    context.fillText(percent(share), view.gutter - 8, middle);
    if (narrow) continue;
    context.fillStyle = theme.line;
    context.fillRect(62, middle - 3, 40, 6);
    context.fillStyle = theme.faint;
    context.fillRect(62, middle - 3, 40 * Math.min(share, 1), 6);
  }
  context.restore();
  context.fillStyle = theme.line;
  context.fillRect(view.gutter - 1, 0, 1, view.height);
}

const clipped = (text, width) => {
  const letters = Math.floor(width / LETTER / 1.1);
  return text.length > letters ? text.slice(0, Math.max(letters - 1, 1)) + "\u2026" : text;
};
