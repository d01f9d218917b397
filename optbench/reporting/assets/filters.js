// The bar with filters, reference and legend, and the pickers of the sections.

const NAMES = {
  problem: "Problem",
  batch_size: "Batch size",
  device: "Device",
  schedule: "Schedule",
  optimizer: "Optimizer",
};

/** A filter: a list of boxes of which any number may be checked. */
function filterOf(name) {
  const values = distinct(rowsOf("cells"), name)
    .sort((one, other) => (typeof one === "number" ? one - other : 0))
    .map(String);
  const boxes = values.map((value) =>
    element("input", {
      type: "checkbox",
      value,
      onchange: () => {
        const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
        change({ [name]: chosen.length === values.length ? [] : chosen });
      },
    }),
  );
  const summary = element("summary", {});
  const every = element("button", { type: "button", onclick: () => change({ [name]: [] }) }, "All");
  const details = element(
    "details",
    { class: "pick", "data-filter": name },
    summary,
    element(
      "div",
      { role: "group", "aria-label": NAMES[name] },
      every,
      ...boxes.map((box, place) => element("label", {}, box, element("span", {}, values[place]))),
    ),
  );
  const show = () => {
    const chosen = state[name];
    boxes.forEach((box) => {
      box.checked = !chosen.length || chosen.includes(box.value);
    });
    summary.textContent = chosen.length
      ? `${NAMES[name]}: ${chosen.length === 1 ? shortened(chosen[0], 18) : `${chosen.length} of ${values.length}`}`
      : `${NAMES[name]}: all`;
    details.classList.toggle("on", chosen.length > 0);
  };
  return { details, show, several: values.length > 1 };
}

const shortened = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

/** A list from which one entry is chosen; `options` are [value, text] pairs. */
function picker(heading, options, current, choose) {
  const select = element(
    "select",
    { onchange: () => choose(select.value) },
    ...options.map(([value, text]) => element("option", { value }, text)),
  );
  select.value = current;
  return element("label", {}, heading, select);
}

/** A sample of an optimizer's line for the legend. */
function sample(name) {
  const { color, dash, marker } = lookOf(name);
  const shapes = {
    circle: "M0-4A4 4 0 1 1 0 4A4 4 0 1 1 0-4Z",
    square: "M-3.6-3.6H3.6V3.6H-3.6Z",
    diamond: "M0-4.8L4.8 0 0 4.8-4.8 0Z",
    "triangle-up": "M0-4.6L4.4 3.6H-4.4Z",
    "triangle-down": "M0 4.6L4.4-3.6H-4.4Z",
    "triangle-left": "M-4.6 0L3.6-4.4V4.4Z",
    "triangle-right": "M4.6 0L-3.6-4.4V4.4Z",
    pentagon: "M0-4.6L4.4-1.4 2.7 3.7H-2.7L-4.4-1.4Z",
    hexagon: "M0-4.6L4-2.3V2.3L0 4.6-4 2.3V-2.3Z",
    hexagon2: "M-4.6 0L-2.3-4H2.3L4.6 0 2.3 4H-2.3Z",
    octagon: "M-1.7-4.2H1.7L4.2-1.7V1.7L1.7 4.2H-1.7L-4.2 1.7V-1.7Z",
    "diamond-tall": "M0-5.2L3 0 0 5.2-3 0Z",
    cross: "M-1.4-4.4H1.4V-1.4H4.4V1.4H1.4V4.4H-1.4V1.4H-4.4V-1.4H-1.4Z",
  };
  const own = color === INK ? "currentColor" : color;
  const dashes = dash === "solid" ? "" : ` stroke-dasharray="${dash.replaceAll("px", "")}"`;
  const box = element("span", { "aria-hidden": "true" });
  const line = `<path d="M-15 0H15" stroke="${own}" stroke-width="2" fill="none"${dashes}/>`;
  const shape = `<path d="${shapes[marker] ?? shapes.circle}" fill="${own}"/>`;
  box.innerHTML = `<svg viewBox="-15 -6 30 12">${line}${shape}</svg>`;
  return box.firstElementChild;
}

/** Sets the height of the bar in the style sheet, so that sections start below it. */
function measureBar() {
  document.documentElement.style.setProperty("--bar", `${document.getElementById("bar").offsetHeight + 12}px`);
}

/** Builds the bar. Returns a function that shows the present choices in it. */
function setUpBar() {
  const filters = FILTERS.map(filterOf).filter(
    ({ details, several }) => several || details.dataset.filter !== "schedule",
  );
  const reference = picker(
    "Reference",
    OPTIMIZERS.map((name) => [name, name]),
    state.reference,
    (name) => change({ reference: name }),
  );
  const reset = element(
    "button",
    {
      type: "button",
      id: "reset",
      onclick: () =>
        change(
          Object.fromEntries([...FILTERS.map((name) => [name, []]), ["lit", ""], ["reference", DEFAULTS.reference]]),
        ),
    },
    "Reset",
  );
  const entries = OPTIMIZERS.map((name) =>
    element(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        title: "Highlight in all figures and tables",
        onclick: () => change({ lit: state.lit === name ? "" : name }),
      },
      sample(name),
      name,
    ),
  );
  const legend = element(
    "div",
    { class: "legend", role: "group", "aria-label": "Legend; click an optimizer to highlight it" },
    ...entries,
  );
  const bar = document.getElementById("bar");
  bar.append(element("div", { class: "row" }, ...filters.map(({ details }) => details), reference, reset), legend);
  document.addEventListener("click", (event) =>
    filters.forEach(({ details }) => {
      if (!details.contains(event.target)) details.open = false;
    }),
  );
  document.addEventListener("keydown", (event) => {
    const open = filters.find(({ details }) => details.open);
    if (event.key === "Escape" && open) {
      open.details.open = false;
      open.details.querySelector("summary").focus();
    }
  });
  new ResizeObserver(measureBar).observe(bar);
  return () => {
    filters.forEach(({ show }) => show());
    reference.querySelector("select").value = state.reference;
    reset.hidden = !isFiltered() && !state.lit && state.reference === DEFAULTS.reference;
    legend.classList.toggle("some", Boolean(state.lit));
    entries.forEach((entry, place) => {
      entry.setAttribute("aria-pressed", String(state.lit === OPTIMIZERS[place]));
      entry.classList.toggle("off", !shownOptimizers().includes(OPTIMIZERS[place]));
    });
  };
}

/** Chooses a task and scrolls to it. */
function showTask(task, optimizer = "") {
  change({
    task: JSON.stringify(Object.fromEntries(GROUP.map((name) => [name, task[name]]))),
    section: "task",
    lit: optimizer || state.lit,
  });
  document.getElementById("task").scrollIntoView();
}

/** The pickers for these parts of a task, such as its problem and device. */
function taskPickers(names) {
  const tasks = filtered(rowsOf("cells"), ["optimizer"]);
  const task = chosenTask();
  if (!task) return [];
  return names
    .filter((name) => name === "problem" || distinct(rowsOf("cells"), name).length > 1)
    .map((name) => {
      const fixed = GROUP.slice(0, GROUP.indexOf(name)).filter((before) => names.includes(before));
      const values = distinct(
        tasks.filter((row) => fixed.every((before) => row[before] === task[before])),
        name,
      ).map(String);
      return picker(
        NAMES[name],
        values.map((value) => [value, value]),
        String(task[name]),
        (value) =>
          change({
            task: JSON.stringify({ ...Object.fromEntries(GROUP.map((one) => [one, task[one]])), [name]: value }),
          }),
      );
    });
}

/** Puts the pickers of all sections in place and keeps the focus where it was. */
function showPickers() {
  const focus = document.activeElement?.closest?.(".controls label")?.firstChild?.textContent;
  const inside = document.activeElement?.closest?.(".controls");
  const fill = (place, ...parts) => place.replaceChildren(...parts);
  document.querySelectorAll("[data-task]").forEach((place) => fill(place, ...taskPickers(GROUP)));
  const targets = distinct(rowsOf("target_summary"), "target_name");
  const shown = state.target || (targets.includes("medium") ? "medium" : targets[0]);
  const byTarget = () =>
    targets.length > 1
      ? [
          picker(
            "Target",
            targets.map((name) => [name, name]),
            shown,
            (target) => change({ target }),
          ),
        ]
      : [];
  const by = () =>
    picker(
      "Measured in",
      [
        ["cost", "cost"],
        ["seconds", "seconds"],
      ],
      state.by,
      (value) => change({ by: value }),
    );
  document
    .querySelectorAll("[data-problem-only]")
    .forEach((place) => fill(place, ...taskPickers(["problem", "device", "schedule"]), ...byTarget()));
  fill(document.getElementById("speedup-controls"), ...byTarget(), by());
  fill(controlsOf("profile"), by());
  if (controlsOf("coordinates")) fill(controlsOf("coordinates"), ...coordinateControls());
  const task = chosenTask();
  const metric = task?.metric_name ?? "metric";
  fill(
    controlsOf("curves"),
    picker(
      "Show",
      [
        ["valid_loss", "validation loss"],
        ["valid_metric", `validation ${metric}`],
      ],
      state.measure,
      (measure) => change({ measure }),
    ),
    picker(
      "Against",
      [
        ["cost", "cost"],
        ["steps", "steps"],
        ["seconds", "seconds"],
      ],
      state.x,
      (x) => change({ x }),
    ),
    picker(
      "Scale",
      [
        ["log", "logarithmic"],
        ["linear", "linear"],
      ],
      state.y,
      (y) => change({ y }),
    ),
  );
  if (inside?.isConnected && focus)
    [...inside.querySelectorAll("label")]
      .find((label) => label.firstChild.textContent === focus)
      ?.querySelector("select")
      ?.focus();
}

const controlsOf = (name) => document.querySelector(`figure[data-figure="${name}"] .controls`);

/** Builds the slider over steps. Returns a function that updates it; the element stays, so that it can be dragged. */
function setUpSlider() {
  const figure = document.querySelector('figure[data-figure="paths"]');
  const output = element("output", {});
  const input = element("input", {
    type: "range",
    min: 0,
    "aria-label": "Step",
    oninput: () => change({ step: input.value === input.max ? "" : input.value }, true),
  });
  const place = controlsOf("paths");
  place.append(element("div", { class: "range" }, element("span", {}, "Step"), input, output));
  return () => {
    const task = chosenTask();
    const cells = task && data.planes[task.problem] ? taskCells().filter((cell) => data.paths[cell.cell_id]) : [];
    figure.hidden = !cells.length;
    if (!cells.length) return;
    const last = Math.max(...cells.map((cell) => data.paths[cell.cell_id].step.at(-1)));
    input.max = last;
    input.value = state.step === "" ? last : Math.min(Number(state.step), last);
    output.textContent = `${whole(Number(input.value))} of ${whole(last)}`;
  };
}
