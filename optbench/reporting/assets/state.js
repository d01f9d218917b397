// The choices of the reader. All of them are in the address after #, so that a view can be shared.

const FILTERS = ["problem", "batch_size", "device", "schedule", "optimizer"];
/** The choices in the address by name, with their defaults. */
const DEFAULTS = {
  section: "",
  problem: [],
  batch_size: [],
  device: [],
  schedule: [],
  optimizer: [],
  reference: data.about.reference,
  lit: "",
  task: "",
  x: "cost",
  y: "log",
  measure: "valid_loss",
  target: "",
  by: "cost",
  search: "",
  range: [],
  sort: "",
  step: "",
};
const KNOWN = {
  reference: OPTIMIZERS,
  lit: ["", ...OPTIMIZERS],
  x: ["cost", "steps", "seconds"],
  y: ["log", "linear"],
  measure: ["valid_loss", "valid_metric"],
  by: ["cost", "seconds"],
};
const state = { ...DEFAULTS };
const listeners = [];

function readAddress() {
  const [section, query = ""] = location.hash.slice(1).split("?");
  const choices = new URLSearchParams(query);
  for (const [name, value] of Object.entries(DEFAULTS)) {
    state[name] = Array.isArray(value) ? choices.getAll(name) : (choices.get(name) ?? value);
  }
  state.section = section;
  // An address may be old or written by hand: unknown values are ignored.
  for (const [name, known] of Object.entries(KNOWN)) {
    if (!known.includes(state[name])) state[name] = DEFAULTS[name];
  }
  if (!/^\d*$/.test(state.step)) state.step = "";
}

function address() {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (name === "section") continue;
    if (Array.isArray(value)) state[name].forEach((entry) => query.append(name, entry));
    else if (state[name] !== value) query.set(name, state[name]);
  }
  const text = query.toString();
  return `#${state.section}${text ? `?${text}` : ""}`;
}

/** Changes choices, writes them to the address (as a new history entry unless `replace`), and calls the listeners. */
function change(choices, replace = false) {
  const before = { ...state };
  Object.assign(state, choices);
  const text = address();
  if (text !== location.hash && !(text === "#" && !location.hash)) {
    history[replace ? "replaceState" : "pushState"](
      VISITED,
      "",
      text === "#" ? location.pathname + location.search : text,
    );
  }
  notify(before);
}

/** Calls the listeners with the names of the choices that changed. */
function notify(before) {
  const changed = new Set(Object.keys(DEFAULTS).filter((name) => String(before[name]) !== String(state[name])));
  if (changed.size) listeners.forEach((listener) => listener(changed));
}

/** The state of a visited entry of the history: when the reader goes back to it, the browser restores the position. */
const VISITED = "visited";

/** Scrolls to the section that the address names, when it is opened or pasted. */
function arrive() {
  const section = document.getElementById(state.section);
  if (section) measureBar();
  section?.scrollIntoView();
  history.replaceState(VISITED, "");
}

window.addEventListener("popstate", (event) => {
  const before = { ...state };
  readAddress();
  notify(before);
  if (event.state !== VISITED) arrive();
});

/** Whether a row passes the filters, except those in `except`. */
function passes(row, except = []) {
  return FILTERS.every(
    (name) => !state[name].length || except.includes(name) || !(name in row) || state[name].includes(String(row[name])),
  );
}

const filtered = (rows, except) => rows.filter((row) => passes(row, except));
const isFiltered = () => FILTERS.some((name) => state[name].length);
const shownOptimizers = () => OPTIMIZERS.filter((name) => !state.optimizer.length || state.optimizer.includes(name));

/** Caches the result of a function that depends only on filters and reference, until one of them changes. */
function cached(compute) {
  let [known, result] = [null, null];
  return () => {
    const now = JSON.stringify([...FILTERS, "reference"].map((name) => state[name]));
    if (now !== known) [known, result] = [now, compute()];
    return result;
  };
}

/** The parts of the task in the address; empty if it cannot be parsed. */
function wantedTask() {
  try {
    return { ...JSON.parse(state.task || "{}") };
  } catch {
    return {};
  }
}

/** The task on display: the chosen one, or the first that passes the filters. */
function chosenTask() {
  const tasks = [...grouped(filtered(rowsOf("cells")), taskOf).values()].map(([row]) => row);
  const wanted = wantedTask();
  const fits = (row) =>
    GROUP.filter((name) => name in wanted).reduce(
      (count, name, place) => count + (String(row[name]) === String(wanted[name]) ? 8 >> place : 0),
      0,
    );
  return tasks.sort((one, other) => fits(other) - fits(one))[0] ?? null;
}

readAddress();
