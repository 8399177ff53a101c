// Slices: what ran when.
//
// Only what is visible is drawn, and no more than a mark for each pixel of a lane: tasks narrower
// than a pixel are one mark, as strong as they are busy.  So a picture costs what is on the
// screen, however many tasks there are.

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
  context.fillStyle = theme.text;
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
