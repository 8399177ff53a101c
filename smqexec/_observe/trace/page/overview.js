// The overview: final results over the whole run, and which part of it the rows show.

const pen = overview.getContext("2d", {alpha: false});
const FOOT = 16, CEILING = 8;  // pixels below and above the curve

const wholeX = time => view.gutter + time / SPAN * wholeWidth();
const wholeWidth = () => Math.max(overview.clientWidth - view.gutter - 8, 1);
const wholeTimeAt = x => (x - view.gutter) / wholeWidth() * SPAN;

function drawOverview() {
  const ratio = window.devicePixelRatio || 1;
  const width = overview.clientWidth, height = overview.clientHeight, floor = height - FOOT;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = theme.paper;
  pen.fillRect(0, 0, width, height);
  const left = Math.max(wholeX(view.from), view.gutter), right = Math.min(wholeX(view.until), width - 8);
  pen.fillStyle = theme.band;
  pen.fillRect(left, CEILING - 4, Math.max(right - left, 2), floor - CEILING + 4);

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
  pen.fillStyle = theme.line;
  pen.fillRect(view.gutter, floor, wholeWidth(), 1);
  pen.strokeStyle = theme.accent;
  pen.strokeRect(left, CEILING - 4, Math.max(right - left, 2), floor - CEILING + 4);

  pen.font = FONT;
  pen.fillStyle = theme.faint;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  if (last) pen.fillText(counted(last), view.gutter - 8, CEILING + 4);
  pen.fillText("0", view.gutter - 8, floor - 2);
  pen.fillText("final", view.gutter - 8, (CEILING + floor) / 2 - 5);
  pen.fillText("results", view.gutter - 8, (CEILING + floor) / 2 + 9);
  pen.fillText(duration(SPAN), width - 8, height - 7);
  pen.textAlign = "left";
  pen.fillText("0", view.gutter, height - 7);
}
