// Facts in words: of the task under the pointer, and of the selected task.

const tip = byId("tip");
const facts = byId("facts");
const summary = byId("summary");

const MOST_LINKS = 50;

// An element with these children: others, or text.  Names reach the page in no other way.
function element(tag, attributes, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

// The facts of a task: pairs of a heading and its text.
function* factsOf(task) {
  const {row} = laneOf(task);
  yield ["number", `#${number[task]}`];
  yield ["queue", row.queue + (row.thread ? `, slot ${row.thread}` : "")];
  const more = (row.thread ? "" : ", never ran") + (isFinal(task) ? ", final" : "");
  yield ["outcome", SIGN[outcome[task]] + OUTCOMES[outcome[task]] + more];
  if (row.thread) yield ["ran for", duration(end[task] - start[task])];
  yield [row.thread ? "started at" : "ended at", moment(start[task])];
  if (submitted[task] !== null) {
    yield ["submitted at", moment(submitted[task])];
    if (row.thread) yield ["waited for", duration(start[task] - submitted[task])];
  }
  if (critical[task]) yield ["critical path", "on it"];
}

// Select a task, or none (-1), and show its facts.
function select(task) {
  view.selected = task;
  summary.hidden = task >= 0;
  facts.hidden = task < 0;
  facts.replaceChildren();
  if (task >= 0) {
    const list = element("dl");
    for (const [head, text] of factsOf(task)) list.append(element("dt", {}, head), element("dd", {}, text));
    facts.append(
      element("h2", {className: "name"}, nameOf(task)), list,
      ...links("Depends on", needs[task]), ...links("Needed by", dependents[task]),
    );
  }
  redraw();
}

// A list of tasks to go to.
function links(title, tasks) {
  if (!tasks.length) return [];
  const entries = tasks.slice(0, MOST_LINKS).map(linkTo), more = tasks.length - MOST_LINKS;
  if (more > 0) entries.push(`and ${counted(more)} more`);
  const list = element("ul", {}, ...entries.map(entry => element("li", {}, entry)));
  return [element("h3", {}, `${title} (${counted(tasks.length)})`), list];
}

function linkTo(task) {
  if (task === UNKNOWN) return "a task that is not in the file";
  const text = element("span", {className: "name"}, `${SIGN[outcome[task]]}${nameOf(task)}`);
  return element("button", {type: "button", onclick: () => goTo(task)}, text, ` #${number[task]}`);
}

function goTo(task) {
  select(task);
  reveal(task);
}

// Show the facts of the task under the pointer beside it; of none (-1), hide them.
function hover(task, x = 0, y = 0) {
  if (task !== view.hovered) {
    view.hovered = task;
    tip.hidden = task < 0;
    if (task >= 0) {
      const lines = [...factsOf(task), ["dependencies", counted(needs[task].length)]];
      const words = lines.map(([head, text]) => element("div", {}, `${head}: ${text}`));
      tip.replaceChildren(element("strong", {className: "name"}, nameOf(task)), ...words);
    }
    redraw();
  }
  if (task < 0) return;
  const {width, height} = tip.getBoundingClientRect();
  tip.style.left = `${x + 14 + width > innerWidth ? Math.max(x - 14 - width, 4) : x + 14}px`;
  tip.style.top = `${y + 16 + height > innerHeight ? Math.max(y - 12 - height, 4) : y + 16}px`;
}
