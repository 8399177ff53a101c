// Slices: the tasks as bars over time.
//
// Only the visible part is drawn, and no more than a mark for each pixel of a lane: tasks narrower than a
// pixel are one mark, as strong as they are busy.  So the cost of a picture depends on the screen, and not
// on the number of tasks.

// Draw a lane.  Marks that look the same and touch each other are drawn as one.
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
    const pixel = Math.floor(left);
    let next = lowerBound(start, timeAt(pixel + 1), task + 1, lane.until);
    if (next > task + 1 && xOf(end[next - 1]) - xOf(start[next - 1]) >= 1.5) next--;  // it reaches beyond
    const look = lookOf(task, next);
    if (mark && mark.until === pixel && Object.keys(look).every(key => look[key] === mark[key])) mark.until++;
    else {
      flush();
      mark = {...look, from: pixel, until: pixel + 1};
    }
    task = next;
  }
  flush();
  drawItems(lane, y, height);
}

// How the mark of the tasks from `task` to `next` looks.  Its colour is that of the first.
function lookOf(task, next) {
  const share = Math.min((busyBefore[next] - busyBefore[task]) * scale(), 1);
  return {
    colour: colourOf(task),
    level: next === task + 1 ? LEVELS : Math.max(Math.ceil(share * LEVELS), 2),
    undone: undoneBefore[next] > undoneBefore[task],
    onPath: view.path && criticalBefore[next] > criticalBefore[task],
    found: !search.active || search.before[next] > search.before[task],
  };
}

function drawMark(mark, y, height) {
  const width = mark.until - mark.from;
  context.globalAlpha = mark.level / LEVELS * (mark.found ? 1 : FADED);
  fill(mark.colour, mark.from, y, width, height);
  context.globalAlpha = 1;
  if (mark.undone) fill(FAILED_COLOUR, mark.from, y, Math.max(width, 2), Math.min(4, height / 2));
  if (mark.onPath) fill(theme.accent, mark.from, y + height - 3, width, 3);
  drawn.marks++;
}

function drawSlice(task, left, right, y, height) {
  left = Math.max(left, view.gutter - 4);
  right = Math.min(right, view.width + 4);
  const width = Math.max(right - left - (right - left > 4 ? 0.5 : 0), 1);
  context.globalAlpha = search.active && !search.found[task] ? FADED : 1;
  fill(colourOf(task), left, y, width, height);
  if (isUndone(task)) fill(HATCH[outcome[task]], left, y, width, height);
  if (view.path && critical[task]) fill(theme.accent, left, y + height - 3, width, 3);
  if (width > 24 && height >= 12) {
    left = Math.max(left, view.gutter) + 4;
    const look = {colour: INK, width: right - left - 3};
    write(SIGN[outcome[task]] + nameOf(task), left, y + height / 2 + 0.5, look);
  }
  context.globalAlpha = 1;
  drawn.slices++;
}

// Items: a tick for each, and one at most for two pixels.
function drawItems(lane, y, height) {
  const {items} = lane;
  let item = lowerBound(items, view.from, 0, items.length);
  while (item < items.length && items[item] <= view.until) {
    const x = Math.floor(xOf(items[item]));
    fill(theme.text, x, y + height / 2, 1, height / 2 - 3);
    drawn.marks++;
    item = lowerBound(items, timeAt(x + 2), item + 1, items.length);
  }
}

function drawOutline(task, width) {
  if (task < 0) return;
  const lane = laneOf(task);
  const left = Math.max(xOf(start[task]), view.gutter - 9), right = Math.min(xOf(end[task]), view.width + 9);
  if (right < view.gutter - 8 || left > view.width + 8) return;
  context.strokeStyle = theme.text;
  context.lineWidth = width;
  context.strokeRect(left - 1, screenY(lane.y) - 1, Math.max(right - left, 2) + 2, lane.height + 1);
}
