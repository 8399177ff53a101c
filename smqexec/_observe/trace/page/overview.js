// The overview: final results over the whole run, and which part of it the rows show.

const overviewPen = overview.getContext("2d", {alpha: false});
const FOOT = 16, CEILING = 8;  // pixels below and above the curve

const wholeX = time => view.gutter + time / SPAN * wholeWidth();
const wholeWidth = () => Math.max(overview.clientWidth - view.gutter - 8, 1);
const wholeTimeAt = x => (x - view.gutter) / wholeWidth() * SPAN;

function drawOverview() {
  const pen = overviewPen, width = overview.clientWidth, height = overview.clientHeight, floor = height - FOOT;
  clear(pen, width, height);
  const left = Math.max(wholeX(view.from), view.gutter), right = Math.min(wholeX(view.until), width - 8);
  const shown = [left, CEILING - 4, Math.max(right - left, 2), floor - CEILING + 4];
  fill(theme.band, ...shown, pen);

  const last = results.length, y = count => floor - (floor - CEILING) * count / Math.max(last, 1);
  const curve = new Path2D();
  curve.moveTo(view.gutter, floor);
  let before = 0;
  for (let x = view.gutter; x <= view.gutter + wholeWidth(); x++) {  // a step for each pixel
    const count = lowerBound(results, wholeTimeAt(x + 1), 0, last);
    if (count === before) continue;
    curve.lineTo(x, y(before));
    curve.lineTo(x, y(count));
    before = count;
  }
  curve.lineTo(view.gutter + wholeWidth(), y(last));
  pen.strokeStyle = theme.text;
  pen.lineWidth = 1.5;
  pen.stroke(curve);
  curve.lineTo(view.gutter + wholeWidth(), floor);
  pen.globalAlpha = 0.12;
  pen.fillStyle = theme.text;
  pen.fill(curve);
  pen.globalAlpha = 1;
  fill(theme.line, view.gutter, floor, wholeWidth(), 1, pen);
  pen.strokeStyle = theme.accent;
  pen.strokeRect(...shown);

  const atLeft = {align: "right", pen};
  if (last) write(counted(last), view.gutter - 8, CEILING + 4, atLeft);
  write("0", view.gutter - 8, floor - 2, atLeft);
  write("final", view.gutter - 8, (CEILING + floor) / 2 - 5, atLeft);
  write("results", view.gutter - 8, (CEILING + floor) / 2 + 9, atLeft);
  write(duration(SPAN), width - 8, height - 7, atLeft);
  write("0", view.gutter, height - 7, {pen});
}
