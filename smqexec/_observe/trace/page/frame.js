// The frame of the slices: time above, names at the left, the grid and the stops behind.

function drawStopped() {
  for (const [from, until] of run.stopped) {
    const left = Math.max(xOf(from), view.gutter), right = Math.min(xOf(until), view.width);
    if (right < view.gutter || left > view.width) continue;
    fill(theme.band, left, AXIS, Math.max(right - left, 1), view.height);
    if (right - left >= 60) write("stopped", left + 6, view.height - 12);
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
  for (const [time] of ticks()) fill(theme.line, Math.round(xOf(time)), AXIS, 1, view.height);
}

function drawAxis() {
  fill(theme.paper, 0, 0, view.width, AXIS);
  fill(theme.line, 0, AXIS - 1, view.width, 1);
  for (const [time, step] of ticks()) {
    const x = xOf(time);
    if (x > view.gutter + 20 && x < view.width - 24) write(tickText(time, step), x, AXIS / 2, {align: "center"});
  }
}

// A point of time, so precise that the next one, `step` later, looks different.
function tickText(time, step) {
  const [scale, unit] = UNITS.find(([scale]) => Math.abs(time) >= scale && scale < 60e6) || UNITS.at(-1);
  const digits = clamp(Math.ceil(-Math.log10(step / scale) - 1e-9), 0, 9);
  return `${(time / scale).toFixed(digits)}\u00a0${unit}`;
}

function drawGutter(visible) {
  fill(theme.paper, 0, AXIS, view.gutter, view.height);
  for (const row of visible) {
    const y = screenY(row.y);
    if (!row.thread) {  // the heading of a queue
      fill(theme.line, 0, y - 2, view.width, 1);
      const look = {colour: theme.text, bold: true, width: (view.gutter - 12) / 1.1};
      write(row.queue, 8, y + row.height / 2, look);
      continue;
    }
    const middle = y + Math.min(row.height, LANE) / 2;
    write(`slot ${row.thread}`, 16, middle);
    write(`${Math.round(100 * row.busy / SPAN)}\u00a0%`, view.gutter - 8, middle, {align: "right"});
  }
  fill(theme.line, view.gutter - 1, 0, 1, view.height);
}
