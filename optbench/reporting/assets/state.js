// What a reader has chosen. All of it is in the address after #, so that a view can be sent to somebody.

const FILTERS = ["problem", "batch_size", "device", "schedule", "optimizer"];
/** Names of the choices in the address, and what holds where nothing is said. */
const DEFAULTS = {
  section: "", problem: [], batch_size: [], device: [], schedule: [], optimizer: [],
  reference: data.about.reference, lit: "", task: "", x: "cost", y: "log", measure: "valid_loss", target: "", by: "cost",
  sort: "", step: "",
};
const KNOWN = {
  reference: OPTIMIZERS, lit: ["", ...OPTIMIZERS], x: ["cost", "steps", "seconds"], y: ["log", "linear"],
  measure: ["valid_loss", "valid_metric"], by: ["cost", "seconds"],
};
const state = { ...DEFAULTS };
const listeners = [];

function readAddress() {
  const [section, query = ""] = location.hash.slice(1).split("?");
  const found = new URLSearchParams(query);
  for (const [name, value] of Object.entries(DEFAULTS)) {
    state[name] = Array.isArray(value) ? found.getAll(name) : found.get(name) ?? value;
  }
  state.section = section;
  // An address may be old, or written by hand: what it names and isn't there is left out.
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

/** Changes choices, writes them to the address (a new entry of the history unless `replace`), and tells everybody. */
function change(choices, replace = false) {
  const before = { ...state };
  Object.assign(state, choices);
  const text = address();
  if (text !== location.hash && !(text === "#" && !location.hash)) {
    history[replace ? "replaceState" : "pushState"](VISITED, "", text === "#" ? location.pathname + location.search : text);
  }
  tell(before);
}

/** Tells listeners which choices changed. */
function tell(before) {
  const changed = new Set(Object.keys(DEFAULTS).filter((name) => String(before[name]) !== String(state[name])));
  if (changed.size) listeners.forEach((listener) => listener(changed));
}

/** What an entry of the history bears on which a reader has been: where it is gone back to, the browser knows the place. */
const VISITED = "visited";

/** Goes to the section that an address names, when it is opened or pasted. */
function arrive() {
  const section = document.getElementById(state.section);
  if (section) measureBar();
  section?.scrollIntoView();
  history.replaceState(VISITED, "");
}

window.addEventListener("popstate", (event) => {
  const before = { ...state };
  readAddress();
  tell(before);
  if (event.state !== VISITED) arrive();
});

/** Whether a row passes the filters, but for those in `except`. */
function passes(row, except = []) {
  return FILTERS.every((name) => !state[name].length || except.includes(name) || !(name in row) || state[name].includes(String(row[name])));
}

const filtered = (rows, except) => rows.filter((row) => passes(row, except));
const isFiltered = () => FILTERS.some((name) => state[name].length);
const shownOptimizers = () => OPTIMIZERS.filter((name) => !state.optimizer.length || state.optimizer.includes(name));

/** A function that computes something of filters and reference alone, kept until one of them changes. */
function held(compute) {
  let [known, found] = [null, null];
  return () => {
    const now = JSON.stringify([...FILTERS, "reference"].map((name) => state[name]));
    if (now !== known) [known, found] = [now, compute()];
    return found;
  };
}

/** What the address says of a task, as far as it can be read. */
function wantedTask() {
  try {
    return { ...JSON.parse(state.task || "{}") };
  } catch {
    return {};
  }
}

/** The task that is looked at: the one chosen, or the first that passes the filters. */
function chosenTask() {
  const tasks = [...grouped(filtered(rowsOf("cells")), taskOf).values()].map(([row]) => row);
  const wanted = wantedTask();
  const fits = (row) => GROUP.filter((name) => name in wanted).reduce((count, name, place) => count + (String(row[name]) === String(wanted[name]) ? 8 >> place : 0), 0);
  return tasks.sort((one, other) => fits(other) - fits(one))[0] ?? null;
}

readAddress();
