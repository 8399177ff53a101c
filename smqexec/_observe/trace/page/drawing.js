// The drawing of the rows: colours, pens, and the layers.

// Each reads well under black text, and stands out from white and from black.
const COLOURS = [
  "#4c90d9", "#d9812a", "#2fa36b", "#a17ed8", "#1fa0a8", "#d9719f", "#98962a", "#b08560",
];
const FAILED_COLOUR = "#e25555", CANCELLED_COLOUR = "#8a8f98", INK = "#000";
const LEVELS = 6;  // of strength
const FADED = 0.2;  // the strength of tasks that a search has not found

const context = canvas.getContext("2d", {alpha: false});
const FONT = "12px system-ui, sans-serif";
const LETTER = 6.2;  // pixels, about: the width of a letter in FONT

let theme = {};  // the colours of the style: see page.css
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const key of ["paper", "text", "faint", "line", "band", "accent"]) {
    theme[key] = style.getPropertyValue(`--${key}`).trim();
  }
}

// Colour is not the only sign: failed tasks are hatched to the right, cancelled ones to the left.
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
  : COLOURS[name[task] % COLOURS.length];

function fill(colour, x, y, width, height, pen = context) {
  pen.fillStyle = colour;
  pen.fillRect(x, y, width, height);
}

// Write `text` at `x`, or to the left or around it; cut where it is longer than `width`.
function write(text, x, y, look = {}) {
  const {colour = theme.faint, align = "left", width = 9999, bold = false, pen = context} = look;
  const letters = Math.max(Math.floor(width / LETTER), 1);
  pen.font = bold ? `bold ${FONT}` : FONT;
  pen.fillStyle = colour;
  pen.textAlign = align;
  pen.textBaseline = "middle";
  pen.fillText(text.length > letters ? text.slice(0, letters - 1) + "\u2026" : text, x, y, width);
}

// A canvas may have more pixels than its box: all that follows is in the pixels of the box.
function clear(pen, width, height) {
  const ratio = window.devicePixelRatio || 1;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  fill(theme.paper, 0, 0, width, height, pen);
}

const drawn = {marks: 0, slices: 0, arrows: 0, steps: 0, frames: 0};  // in the last picture

function draw() {
  drawn.marks = drawn.slices = drawn.arrows = drawn.steps = 0;
  clear(context, view.width, view.height);
  context.save();
  context.beginPath();
  context.rect(view.gutter, AXIS, widthOfTime(), view.height - AXIS);
  context.clip();
  drawGrid();
  drawStopped();
  const visible = rows.filter(row => screenY(row.y + row.height) > AXIS && screenY(row.y) < view.height);
  for (const row of visible) for (const lane of row.lanes) drawLane(lane);
  if (view.path) drawPath();
  drawOutline(view.hovered, 1.5);
  if (view.selected >= 0) drawArrows(view.selected);
  drawOutline(view.selected, 2.5);
  context.restore();
  drawGutter(visible);
  drawAxis();
  drawOverview();
  drawn.frames++;
}
