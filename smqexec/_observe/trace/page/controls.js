// The controls: search, keys, pointer, buttons; and the start of the page.

// -- Search

const search = {
  active: false,  // with the next two: written by `find`
  found: null,  // whether each task is found
  before: null,  // how many tasks before each one are found
  inTime: [],  // the tasks found,
  at: -1,  // and the index of the one that was shown last
};
const searchBox = byId("search"), result = byId("result");

// Find the tasks whose name has `text` in it, in either case; or the task with the number after a #.
function find(text) {
  search.active = text !== "";
  search.at = -1;
  const wanted = text.toLowerCase();
  const ofNumber = /^#\d+$/.test(text) ? byNumber.get(Number(text.slice(1))) : undefined;
  const fits = run.names.map(name => search.active && name.toLowerCase().includes(wanted));
  search.found = Uint8Array.from(name, (index, task) => fits[index] || task === ofNumber);
  search.before = sums(task => search.found[task]);
  search.inTime = selectTasks(task => search.found[task]).sort(inTime);
  showResult();
  redraw();
}

function showResult() {
  const count = search.inTime.length;
  result.textContent = !search.active ? "" : !count ? "none found"
    : search.at < 0 ? `${counted(count)} found` : `${counted(search.at + 1)} of ${counted(count)}`;
  byId("previous").disabled = byId("next").disabled = !count;
}

// Go to the next task found, or to the previous one.
function goOn(step) {
  const count = search.inTime.length;
  if (!count) return;
  search.at = search.at < 0 ? (step > 0 ? 0 : count - 1) : (search.at + step + count) % count;
  goTo(search.inTime[search.at]);
  showResult();
}

searchBox.addEventListener("input", () => find(searchBox.value.trim()));
searchBox.addEventListener("keydown", event => {
  if (event.key === "Enter") goOn(event.shiftKey ? -1 : 1);
  else if (event.key === "Escape") {
    searchBox.value = "";
    find("");
    box.focus();
  } else return;
  event.preventDefault();
});
byId("previous").addEventListener("click", () => goOn(-1));
byId("next").addEventListener("click", () => goOn(1));

// -- Keys.  The browser itself scrolls up and down.

const KEYS = {
  ArrowLeft: () => pan(-widthOfTime() / 8),
  ArrowRight: () => pan(widthOfTime() / 8),
  "+": () => zoom(1.5),
  "=": () => zoom(1.5),
  "-": () => zoom(1 / 1.5),
  Home: showAll,
  Enter: () => { if (view.selected >= 0) reveal(view.selected, true); else select(central()); },
  Escape: () => { hover(-1); select(-1); },
};
const SHIFTED = {
  ArrowLeft: () => step(-1, 0),
  ArrowRight: () => step(1, 0),
  ArrowUp: () => step(0, -1),
  ArrowDown: () => step(0, 1),
};

// The task nearest to the middle of the visible part; -1 if there is none.
function central() {
  const time = timeAt(view.gutter + widthOfTime() / 2), y = box.scrollTop + (view.height - AXIS) / 2;
  const away = lane => Math.abs(lane.y + lane.height / 2 - y);
  const near = lanes.filter(lane => lane.until > lane.first).sort((a, b) => away(a) - away(b));
  return near.length ? nearest(near[0], time) : -1;
}

// Select the neighbour of the selected task: in its lane, or in another lane at its time.
function step(along, down) {
  const from = view.selected;
  let to = from < 0 ? central() : from;
  if (from >= 0 && along) {
    const {first, until} = laneOf(from);
    to = clamp(from + along, first, until - 1);
  } else if (from >= 0) {
    let i = lanes.indexOf(laneOf(from)) + down;
    while (lanes[i] && lanes[i].first === lanes[i].until) i += down;
    if (lanes[i]) to = nearest(lanes[i], (start[from] + end[from]) / 2);
  }
  if (to >= 0) goTo(to);
}

box.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = (event.shiftKey && SHIFTED[event.key]) || KEYS[event.key];
  if (!act) return;
  act();
  event.preventDefault();
});
document.addEventListener("keydown", event => {
  if (event.key !== "/" || event.target === searchBox) return;
  searchBox.focus();
  event.preventDefault();
});

// -- Pointer.  One pans, two magnify.

const pointers = new Map();  // each pointer that is down, by its id: {x, y}
let moved = 0;  // pixels since the first one was down

const place = event => {
  const {left, top} = canvas.getBoundingClientRect();
  return {x: event.clientX - left, y: event.clientY - top};
};

canvas.addEventListener("pointerdown", event => {
  if (event.button) return;
  if (!pointers.size) moved = 0;
  pointers.set(event.pointerId, place(event));
  canvas.setPointerCapture(event.pointerId);
  box.focus({preventScroll: true});
});
canvas.addEventListener("pointermove", event => {
  const now = place(event), before = pointers.get(event.pointerId);
  if (!before) {
    if (event.pointerType !== "mouse") return;
    hover(taskAt(now.x, now.y), event.clientX, event.clientY);
    return;
  }
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  moved += Math.hypot(now.x - before.x, now.y - before.y);
  if (other) {
    zoom(Math.max(Math.abs(now.x - other.x), 20) / Math.max(Math.abs(before.x - other.x), 20), other.x);
  } else if (moved > 4) {
    hover(-1);
    pan(before.x - now.x);
    box.scrollTop += before.y - now.y;
  }
  pointers.set(event.pointerId, now);
});
canvas.addEventListener("pointerup", event => {
  if (pointers.delete(event.pointerId) && moved <= 4 && !pointers.size) {
    const {x, y} = place(event);
    select(taskAt(x, y, event.pointerType === "mouse" ? 4 : 12));
  }
});
canvas.addEventListener("pointercancel", event => pointers.delete(event.pointerId));
canvas.addEventListener("pointerleave", () => hover(-1));
canvas.addEventListener("dblclick", () => { if (view.selected >= 0) reveal(view.selected, true); });

// The wheel scrolls.  With Ctrl it magnifies, and also if there is nothing to scroll.
box.addEventListener("wheel", event => {
  const sideways = event.deltaX + (event.shiftKey ? event.deltaY : 0);
  if (event.ctrlKey || (!sideways && extent.offsetHeight <= view.height)) {
    zoom(magnification(event), place(event).x);
  } else if (sideways) pan(sideways);
  else return;
  hover(-1);
  event.preventDefault();
}, {passive: false});
box.addEventListener("scroll", redraw);

// A notch of the wheel is some 100 pixels, or 3 lines; two fingers on a touchpad are Ctrl and few pixels.
function magnification(event) {
  const pixels = event.deltaMode ? 30 * event.deltaY : event.deltaY;
  return Math.exp(-pixels * (event.ctrlKey && Math.abs(pixels) < 50 ? 0.01 : 0.002));
}

// A press or a drag in the overview brings that time to the middle.
const centre = event => {
  const span = view.until - view.from;
  show(wholeTimeAt(event.clientX - overview.getBoundingClientRect().left) - span / 2, span);
};
overview.addEventListener("pointerdown", event => {
  overview.setPointerCapture(event.pointerId);
  centre(event);
});
overview.addEventListener("pointermove", event => {
  if (overview.hasPointerCapture(event.pointerId)) centre(event);
});

// -- Buttons and the theme

byId("in").addEventListener("click", () => zoom(2));
byId("out").addEventListener("click", () => zoom(0.5));
byId("all").addEventListener("click", showAll);
byId("path").addEventListener("click", () => {
  view.path = !view.path;
  byId("path").setAttribute("aria-pressed", view.path);
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); redraw(); });

// -- Begin

for (const each of document.querySelectorAll("[hidden].program")) each.hidden = false;
const total = `${counted(results.length)} in ${duration(SPAN)}`;
overview.setAttribute("aria-label", `Final results over time: ${total}`);
readTheme();
resize();
showAll();
showResult();
new ResizeObserver(resize).observe(box);

// For the browser's console, and for tests.
window.timeline = {
  run, start, end, number, byNumber, lanes, results, view, drawn,
  show, zoom, select, reveal, xOf, middleOf, laneOf,
};
