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
  const rows = trials.map((row) => ({
    optimizer,
    trial: row.trial,
    status: row.status,
    valid_loss: row.valid_loss,
    chosen: positions.get(row.trial)[0].chosen,
    ...Object.fromEntries(names.map((name) => [column(name), row[column(name)]])),
  }));
  const lineOfTrial = (row) => {
    const places = positions.get(row.trial);
    const rank = ranked.indexOf(row);
    const { chosen } = places[0];
    const color = rank < 0 ? "#8a8f98" : lossColor(ranked.length > 1 ? rank / (ranked.length - 1) : 0);
    const y = names.map((name) => places.find((place) => place.hyperparameter === name)?.position ?? BELOW);
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
      y: [...y, ranked.includes(row) ? losses.position(row.valid_loss) : ABOVE],
      hoverinfo: "text",
      text: new Array(names.length + 1).fill(about),
      opacity: emphasis(optimizer, row.status === "ok" ? 0.9 : 0.6),
      line: { color: chosen ? INK : color, width: chosen ? 3.5 : 1.6, dash: row.status === "ok" ? "solid" : "dot" },
      marker: { color: chosen ? INK : color, size: chosen ? 7 : 4, opacity: 1 },
    };
  };
  // The best trials are drawn last, over the others.
  const above = (row) => (positions.get(row.trial)[0].chosen ? Infinity : ranked.length - ranked.indexOf(row));
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
    summary: `${headingOf(chosenTask())}, ${optimizer}: ${rows.length} trials in ${names.length} hyperparameters.`,
  };
};
