// What is around the slices: time above, names at the left, and what is behind.

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
