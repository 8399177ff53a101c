// Arrows: from the dependencies of the selected task and to its dependents, and along the critical path.

const MOST_ARROWS = 500;
const LEAST_STEP = 8;  // pixels, along the critical path

const middleOf = task => { const lane = laneOf(task); return screenY(lane.y + lane.height / 2); };

// The line from the end of a task to the start of another one, as far as it lies between the left and right
// borders; null if it is not seen.  At high magnification the whole line has millions of pixels, and
// browsers would draw them.
function lineBetween(from, to) {
  const x0 = xOf(end[from]), y0 = middleOf(from), x1 = xOf(start[to]), y1 = middleOf(to);
  const least = view.gutter - 50, most = view.width + 50;
  if (Math.max(x0, x1) < least || Math.min(x0, x1) > most) return null;
  const point = (x, y) => {
    const within = clamp(x, least, most);
    return within === x ? [x, y] : [within, y0 + (y1 - y0) * (within - x0) / (x1 - x0)];
  };
  return [...point(x0, y0), ...point(x1, y1)];
}

// Dashed arrows lead to the dependents.  Of several arrows in one place only one is drawn.
function drawArrows(task) {
  const places = new Set();
  const drawArrow = (from, to) => {
    const line = lineBetween(from, to), place = line?.map(each => Math.round(each / 4)).join(" ");
    if (!line || places.has(place)) return;
    places.add(place);
    strokeArrow(...line);
    drawn.arrows++;
  };
  context.lineWidth = 1.5;
  context.strokeStyle = context.fillStyle = theme.text;
  for (const need of needs[task].slice(0, MOST_ARROWS)) if (need !== UNKNOWN) drawArrow(need, task);
  context.setLineDash([5, 4]);
  for (const dependent of dependents[task].slice(0, MOST_ARROWS)) drawArrow(task, dependent);
  context.setLineDash([]);
}

function strokeArrow(x0, y0, x1, y1) {
  const bend = clamp(Math.abs(x1 - x0) / 2, 12, 60);
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

// A line along the critical path, from task to task.  Tasks too near to each other for a line have only
// their marks in the slices.
function drawPath() {
  context.strokeStyle = theme.accent;
  context.lineWidth = 1.5;
  context.beginPath();
  let i = Math.max(lowerBound(pathStart, view.from, 0, path.length) - 1, 0);
  while (i + 1 < path.length && pathStart[i] <= view.until) {
    const next = lowerBound(pathStart, timeAt(xOf(pathStart[i]) + LEAST_STEP), i + 1, path.length);
    const line = next === i + 1 && lineBetween(path[i], path[next]);
    if (line) {
      context.moveTo(line[0], line[1]);
      context.lineTo(line[2], line[3]);
      drawn.steps++;
    }
    i = Math.max(next - 1, i + 1);
  }
  context.stroke();
}
