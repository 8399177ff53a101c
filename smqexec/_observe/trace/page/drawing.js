// The drawing of the rows: in what colours, and what comes over what.

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
  for (const key of ["paper", "text", "faint", "line", "band", "accent"]) {
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
