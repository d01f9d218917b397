// Parallel coordinates: the trials of a search in several dimensions, each a line through one axis per hyperparameter.

/** From the best trial to the worst: colours that are told apart on light and dark paper, and by the colour-blind. */
const BEST_TO_WORST = [
  [0, 114, 178],
  [128, 128, 128],
  [213, 94, 0],
];

/** The optimizers of the chosen task that searched several hyperparameters, and the one on display. */
const searching = () => distinct(taskCells(rowsOf("coordinate_axes")), "optimizer");
const searchedOptimizer = () => {
  const names = searching();
  return names.includes(state.search) ? state.search : names[0];
};

/** A colour between those of `BEST_TO_WORST`, for a share from 0 to 1. */
function lossColor(share) {
  const place = Math.min(Math.floor(2 * share), 1);
  const mixed = BEST_TO_WORST[place].map((one, index) =>
    Math.round(one + (2 * share - place) * (BEST_TO_WORST[place + 1][index] - one)),
  );
  return `rgb(${mixed.join(",")})`;
}

/** Where a trial is drawn that has no value on an axis, and one that has no loss. */
const [BELOW, ABOVE] = [-0.1, 1.1];

/** The axis of the losses: the position of a loss, and labels. The worst quarter of the trials lies at its upper end,
 * because a loss that exploded would leave no room for the others.
 * @param losses - The losses from the best trial to the worst. */
function lossAxis(losses) {
  const log = losses.length > 0 && losses.every((loss) => loss > 0);
  const [scale, back] = log ? [Math.log, Math.exp] : [(value) => value, (value) => value];
  const shown = losses.slice(0, Math.ceil(0.75 * losses.length)).map(scale);
  const [low, high] = [Math.min(...losses.map(scale)), Math.max(...shown)];
  const cut = losses.some((loss) => scale(loss) > high) ? "≥ " : "";
  const labels = losses.length && high > low ? [0, 0.5, 1] : losses.length ? [0.5] : [];
  return {
    position: (loss) => (high > low ? Math.min((scale(loss) - low) / (high - low), 1) : 0.5),
    labels: labels.map((position) => ({
      position,
      label: `${position === 1 ? cut : ""}${significant(back(low + position * (high - low)), 3)}`,
    })),
  };
}

/** The name of the last axis among the ranges. */
const LOSS = "valid_loss";

/** The ranges that the reader has drawn on axes: {name, low, high}, positions from 0 to 1; the address has them as text. */
const chosenRanges = () =>
  state.range.map((text) => text.split(":")).map(([name, low, high]) => ({ name, low: Number(low), high: Number(high) }));

/** Replaces the range of an axis, or removes it. */
function changeRange(name, low = null, high = null) {
  const others = state.range.filter((text) => !text.startsWith(`${name}:`));
  change({ range: low === null ? others : [...others, `${name}:${low.toFixed(3)}:${high.toFixed(3)}`] });
}

/** Sets the ranges of the axes that a box covers, or of the nearest one. */
function selectBox(names, { x, y }) {
  const [left, right] = [Math.min(...x), Math.max(...x)];
  const [low, high] = [Math.min(...y), Math.max(...y)];
  const covered = names.map((_, place) => place).filter((place) => left <= place && place <= right);
  const middle = Math.min(Math.max(Math.round((left + right) / 2), 0), names.length - 1);
  for (const place of covered.length ? covered : [middle]) changeRange(names[place], low, high);
}

/** The choices of the menu by which ranges are set without a pointer: a third of each axis. */
const THIRDS = [
  ["low", 0, 1 / 3],
  ["middle", 1 / 3, 2 / 3],
  ["high", 2 / 3, 1],
];
const thirdsOf = (names) =>
  names.flatMap((name) =>
    THIRDS.map(([which, low, high]) => [
      `${name}:${low.toFixed(3)}:${high.toFixed(3)}`,
      `${name === LOSS ? "validation loss" : name}, ${which} third`,
    ]),
  );

/** The controls of the figure: the optimizer, ranges of axes, and a button for each range that removes it. */
function coordinateControls() {
  const names = searching();
  if (!names.length) return [];
  const axes = distinct(
    taskCells(rowsOf("coordinate_axes")).filter((row) => row.optimizer === searchedOptimizer()),
    "hyperparameter",
  );
  const label = (name) => (name === LOSS ? "validation loss" : name);
  return [
    ...(names.length > 1
      ? [
          picker(
            "Optimizer",
            names.map((name) => [name, name]),
            searchedOptimizer(),
            (search) => change({ search, range: [] }),
          ),
        ]
      : []),
    picker("Only trials in", [["", "the whole range"], ...thirdsOf([...axes, LOSS])], "", (text) => {
      const [name, low, high] = text.split(":");
      if (name) changeRange(name, Number(low), Number(high));
    }),
    ...chosenRanges().map(({ name }) =>
      element(
        "button",
        { type: "button", class: "chip", onclick: () => changeRange(name), "aria-label": `All values of ${label(name)}` },
        `${label(name)} ×`,
      ),
    ),
  ];
}

FIGURES.coordinates = () => {
  const optimizer = searchedOptimizer();
  if (!optimizer)
    return { ...NOTHING, empty: "No optimizer that passes the filters was tuned in several hyperparameters here." };
  const own = (name) => taskCells(rowsOf(name)).filter((row) => row.optimizer === optimizer);
  const axes = grouped(own("coordinate_axes"), (row) => row.hyperparameter);
  const names = [...axes.keys()];
  const positions = grouped(own("coordinates"), (row) => row.trial);
  const known = (row) => row.valid_loss !== null && row.valid_loss < Infinity;
  const trials = own("trials").filter((row) => positions.has(row.trial));
  // As in the table of importances: a race stops the worst trials first, at losses that are not those of a whole run.
  const stage = (row) => (row.status === "ok" ? 0 : 1);
  const spent = (row) => (row.status === "ok" ? 0 : row.cost);
  const ranked = trials
    .filter((row) => known(row) && ["ok", "stopped"].includes(row.status))
    .sort(
      (one, other) =>
        stage(one) - stage(other) || spent(other) - spent(one) || one.valid_loss - other.valid_loss,
    );
  const losses = lossAxis(ranked.map((row) => row.valid_loss));
  const column = (name) => (name === "lr" ? "lr" : `hp_${name}`);
  const value = (row, name) => cellText(column(name), row[column(name)]);
  const ranges = chosenRanges().filter(({ name }) => name === LOSS || axes.has(name));
  const heightOf = (row, name) =>
    name === LOSS
      ? ranked.includes(row)
        ? losses.position(row.valid_loss)
        : ABOVE
      : (positions.get(row.trial).find((place) => place.hyperparameter === name)?.position ?? BELOW);
  const inside = (row) => ranges.every(({ name, low, high }) => low <= heightOf(row, name) && heightOf(row, name) <= high);
  const rows = trials.filter(inside).map((row) => ({
    optimizer,
    trial: row.trial,
    status: row.status,
    valid_loss: row.valid_loss,
    chosen: positions.get(row.trial)[0].chosen,
    ...Object.fromEntries(names.map((name) => [column(name), row[column(name)]])),
  }));
  const lineOfTrial = (row) => {
    const rank = ranked.indexOf(row);
    const { chosen } = positions.get(row.trial)[0];
    const color = rank < 0 ? "#8a8f98" : lossColor(ranked.length > 1 ? rank / (ranked.length - 1) : 0);
    const y = [...names, LOSS].map((name) => heightOf(row, name));
    const about = hover(
      `${bold(optimizer)}, trial ${row.trial}${chosen ? " (chosen)" : ""}, ${escaped(row.status)}`,
      `validation loss ${significant(row.valid_loss)}`,
      ...names.map((name) => escaped(`${name} ${value(row, name)}`)),
    );
    return {
      type: "scatter",
      mode: "lines+markers",
      name: optimizer,
      x: [...names, ""].map((_, place) => place),
      y,
      hoverinfo: inside(row) ? "text" : "skip",
      text: new Array(names.length + 1).fill(about),
      opacity: inside(row) ? emphasis(optimizer, row.status === "ok" ? 0.9 : 0.6) : 0.05,
      line: { color: chosen ? INK : color, width: chosen ? 3.5 : 1.6, dash: row.status === "ok" ? "solid" : "dot" },
      marker: { color: chosen ? INK : color, size: chosen ? 7 : 4, opacity: 1 },
    };
  };
  // The best trials are drawn last, over the others.
  const above = (row) =>
    (inside(row) ? 2 * ranked.length : 0) +
    (positions.get(row.trial)[0].chosen ? ranked.length + 1 : ranked.length - ranked.indexOf(row));
  const order = [...trials.filter((row) => !ranked.includes(row)), ...ranked.toSorted((a, b) => above(a) - above(b))];
  const traces = order.map(lineOfTrial);
  const some = (place, position) => traces.some((trace) => trace.y[place] === position);
  const marksOf = (name, place) => [
    ...axes.get(name),
    ...(some(place, BELOW) ? [{ position: BELOW, label: "none" }] : []),
  ];
  const failed = some(names.length, ABOVE) ? [{ position: ABOVE, label: "failed" }] : [];
  const labels = [...names.map(marksOf), [...losses.labels, ...failed]].flatMap((marks, place) =>
    marks.map(({ position, label }) => ({
      x: place,
      y: position,
      text: escaped(label),
      showarrow: false,
      xanchor: place === names.length ? "left" : "right",
      xshift: place === names.length ? 6 : -6,
      font: { size: 11 },
    })),
  );
  const marked = ranges.map(({ name, low, high }) => {
    const place = name === LOSS ? names.length : names.indexOf(name);
    const look = { fillcolor: INK, opacity: 0.14, line: { width: 0 } };
    return { type: "rect", x0: place - 0.06, x1: place + 0.06, y0: Math.max(low, -0.16), y1: Math.min(high, 1.16), ...look };
  });
  const wide = document.querySelector('figure[data-figure="coordinates"] .plot').clientWidth / (names.length + 1) > 110;
  return {
    traces,
    rows,
    columns: [
      ["optimizer"],
      ["trial"],
      ["status"],
      ["valid_loss", "validation loss"],
      ["chosen"],
      ...names.map((name) => [column(name), name]),
    ],
    layout: {
      margin: { l: 64, r: 72, t: wide ? 36 : 84, b: 16 },
      annotations: labels,
      shapes: marked,
      // A finger scrolls the page; there, the menu sets ranges.
      dragmode: matchMedia("(pointer: fine)").matches ? "select" : false,
      selections: [],
      xaxis: {
        side: "top",
        tickvals: [...names, ""].map((_, place) => place),
        ticktext: [...names.map(escaped), "validation loss"],
        tickangle: wide ? 0 : -40,
        gridcolor: "#8a8f98",
        zeroline: false,
        range: [-0.1, names.length + 0.1],
      },
      yaxis: { visible: false, range: [-0.16, 1.16] },
    },
    select: (box) => selectBox([...names, LOSS], box),
    unselect: () => change({ range: [] }),
    note: ranges.length ? `${rows.length} of ${trials.length} trials are in the chosen ranges.` : "",
    summary: `${headingOf(chosenTask())}, ${optimizer}: ${rows.length} trials in ${names.length} hyperparameters.`,
  };
};
