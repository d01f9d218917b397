// Figures of one task: validation during training, test results of each seed, and the paths of the optimizers.

/** The rows of the chosen task whose optimizer passes the filter. */
function taskCells(rows = rowsOf("cells")) {
  const task = chosenTask();
  return task ? rows.filter((row) => taskOf(row) === taskOf(task) && passes(row)) : [];
}

const NOTHING = { empty: "No results pass the filters.", columns: [["optimizer"]], rows: [] };
const X_TITLES = {
  cost: "cost (example gradients)",
  steps: "steps",
  seconds: "seconds (from the time per step measured alone)",
};

/** The name of the chosen measure, such as `validation accuracy`. */
function measureName(cell) {
  return state.measure === "valid_loss" ? "validation loss" : `validation ${cell.metric_name}`;
}

/** The x values of a line: cost, steps or seconds. */
function alongX(curve, line) {
  const at = line.at ?? curve.cost.map((_, place) => place);
  if (state.x === "steps") return at.map((place) => curve.step[place]);
  return at.map((place) => (state.x === "seconds" ? curve.cost[place] * curve.seconds_per_cost : curve.cost[place]));
}

FIGURES.curves = () => {
  const cells = taskCells().filter((cell) => data.curves[cell.cell_id]);
  if (!cells.length) return NOTHING;
  const traces = [];
  const rows = [];
  for (const cell of cells) {
    const curve = data.curves[cell.cell_id];
    if (state.x === "seconds" && curve.seconds_per_cost === null) continue;
    const { optimizer } = cell;
    const { median: middle, seeds } = curve[state.measure];
    const x = alongX(curve, middle);
    if (seeds.length > 1) traces.push(bandOf(optimizer, x, middle.low, middle.high));
    for (const seed of seeds) {
      traces.push(
        lineOf(optimizer, alongX(curve, seed), seed.is, {
          line: { width: 0.7, dash: "solid" },
          opacity: emphasis(optimizer, 0.5),
          hoverinfo: "skip",
        }),
      );
      if (seed.failed)
        traces.push(
          lineOf(optimizer, [alongX(curve, seed).at(-1)], [seed.is.at(-1)], {
            mode: "markers",
            marker: { symbol: "x", size: 11, line: { color: PAPER, width: 1 } },
            text: [`${bold(optimizer)}<br>seed ${seed.seed} failed`],
          }),
        );
    }
    traces.push(
      lineOf(optimizer, x, middle.is, {
        text: x.map((at, place) =>
          hover(
            `${bold(optimizer)}, rate ${cellText("lr", cell.lr_tuned)}`,
            `${measureName(cell)} ${withInterval(middle.is[place], middle.low[place], middle.high[place], 4)}`,
            `${state.x} ${significant(at)}`,
          ),
        ),
      }),
    );
    const at = middle.at ?? curve.cost.map((_, place) => place);
    at.forEach((place, index) =>
      rows.push({
        optimizer,
        cost: curve.cost[place],
        steps: curve.step[place],
        seconds: curve.seconds_per_cost === null ? null : curve.cost[place] * curve.seconds_per_cost,
        median: middle.is[index],
        low: middle.low[index],
        high: middle.high[index],
      }),
    );
  }
  const values = rows.flatMap((row) => [row.median, row.low]).filter((value) => value !== null);
  const log =
    (state.y === "log" && values.every((value) => value > 0) && state.measure === "valid_loss") ||
    (state.y === "log" && values.every((value) => value > 0) && !cells[0].metric_higher_is_better);
  const starts = cells
    .map((cell) => data.curves[cell.cell_id][state.measure].median.is[0])
    .filter((value) => value !== null);
  const range = rangeOf(values, starts, log, state.measure !== "valid_loss" && cells[0].metric_higher_is_better);
  const target = state.measure === "valid_metric" ? cells[0].target : null;
  const y = log ? logAxis(measureName(cells[0]), values, { range }) : axis(measureName(cells[0]), { range });
  return {
    traces,
    rows,
    columns: [["optimizer"], ["cost"], ["steps"], ["seconds"], ["median"], ["low"], ["high"]],
    layout: {
      xaxis: axis(X_TITLES[state.x], { rangemode: "tozero" }),
      yaxis: y,
      shapes:
        target === null
          ? []
          : [
              {
                type: "line",
                x0: 0,
                x1: 1,
                xref: "paper",
                y0: target,
                y1: target,
                line: { color: INK, width: 1, dash: "dot" },
              },
            ],
      annotations:
        target === null
          ? []
          : [
              {
                x: 1,
                xref: "paper",
                xanchor: "right",
                y: log ? Math.log10(target) : target,
                yanchor: "bottom",
                showarrow: false,
                text: "target",
                font: { size: 11 },
              },
            ],
    },
    summary: `${headingOf(chosenTask())}: ${cells.length} optimizers.`,
    note: noteOf(
      state.y === "log" && !log ? "The scale is linear because a logarithmic one does not suit these values." : "",
      state.x === "seconds" && cells.some((cell) => data.curves[cell.cell_id].seconds_per_cost === null)
        ? "Cells without a measured speed are left out."
        : "",
    ),
  };
};

/** The limits of the y axis. A loss may leave the figure if it is above three times (linear: 1.2 times) its start. */
function rangeOf(values, starts, log, higher) {
  if (!values.length) return undefined;
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (!higher && starts.length) high = Math.min(high, (log ? 3 : 1.2) * Math.max(...starts));
  if (log) return [Math.log10(low * 0.85), Math.log10(high * 1.15)];
  const margin = 0.05 * (high - low || 1);
  return [low - margin, high + margin];
}

FIGURES.ends = () => {
  const cells = taskCells();
  const runs = grouped(taskCells(rowsOf("seed_losses")), (row) => row.optimizer);
  const finals = new Map(
    taskCells(rowsOf("final_metric"))
      .filter((row) => row.tuned !== false)
      .map((row) => [row.optimizer, row]),
  );
  const rows = cells
    .filter((cell) => runs.has(cell.optimizer))
    .map((cell) => {
      const own = runs.get(cell.optimizer);
      const sign = cell.metric_higher_is_better ? -1 : 1;
      const values = own.filter((row) => row.loss < Infinity).map((row) => [row.seed, sign * row.loss]);
      const final = finals.get(cell.optimizer);
      return {
        optimizer: cell.optimizer,
        median: final ? final.median : null,
        lowest: final?.lowest ?? null,
        highest: final?.highest ?? null,
        seeds: own.length,
        failed: own.length - values.length,
        lr: cell.lr_tuned,
        values,
        order: sign * (median(own.map((row) => sign * row.loss * sign)) ?? Infinity),
        better: median(own.map((row) => row.loss)),
      };
    })
    .sort((one, other) => other.better - one.better);
  if (!rows.length) return NOTHING;
  const traces = [];
  rows.forEach((row, place) => {
    traces.push(
      lineOf(
        row.optimizer,
        row.values.map(([, value]) => value),
        row.values.map(() => place),
        {
          mode: "markers",
          marker: { size: 8, opacity: 0.75 },
          text: row.values.map(
            ([seed, value]) =>
              `${bold(row.optimizer)}, seed ${seed}<br>test ${cells[0].metric_name} ${significant(value)}`,
          ),
        },
      ),
    );
    if (row.median !== null)
      traces.push(
        lineOf(row.optimizer, [row.median, row.median], [place - 0.3, place + 0.3], {
          line: { width: 2.5, dash: "solid" },
          hoverinfo: "skip",
        }),
      );
  });
  const labels = rows.map((row) => escaped(row.optimizer) + (row.failed ? ` (${row.failed} failed)` : ""));
  const best = rows.at(-1);
  return {
    traces,
    rows: rows.toReversed(),
    columns: [["optimizer"], ["lr", "learning rate"], ["median"], ["lowest"], ["highest"], ["seeds"], ["failed"]],
    height: 90 + 27 * rows.length,
    layout: {
      margin: { l: roomFor(labels), r: 16, t: 12, b: 48 },
      xaxis: positive(
        rows.flatMap((row) => row.values.map(([, value]) => value)),
        !cells[0].metric_higher_is_better,
      )(`test ${cells[0].metric_name}`),
      yaxis: axis("", { tickvals: rows.map((_, place) => place), ticktext: labels, range: [-0.7, rows.length - 0.3] }),
    },
    summary: `${headingOf(chosenTask())}: ${best.optimizer} has the best median, ${significant(best.median)}.`,
  };
};

/** A function that makes the axis: logarithmic if values are positive and differ by more than a factor of 3. */
function positive(values, wanted = true) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return wanted && low > 0 && high / low > 3 ? (title) => logAxis(title, values) : axis;
}

FIGURES.paths = () => {
  const task = chosenTask();
  const plane = task && data.planes[task.problem];
  const cells = plane ? taskCells().filter((cell) => data.paths[cell.cell_id]) : [];
  if (!cells.length)
    return {
      empty: "This problem is not a two-dimensional function and has no paths.",
      columns: [["optimizer"]],
      rows: [],
    };
  const last = Math.max(...cells.map((cell) => data.paths[cell.cell_id].step.at(-1)));
  const now = state.step === "" ? last : Math.min(Number(state.step), last);
  const [across, up] = plane.domain;
  const positives = plane.value
    .flat()
    .filter((value) => value > 0)
    .sort((a, b) => a - b);
  const [low, high] = [positives[Math.floor(positives.length / 1000)], positives.at(-1)].map(Math.log10);
  const traces = [
    {
      type: "contour",
      x: plane.x,
      y: plane.y,
      z: plane.value.map((row) => row.map((value) => Math.log10(Math.max(value, 10 ** (low - 1))))),
      showscale: false,
      hoverinfo: "skip",
      colorscale: [
        [0, GRID],
        [1, GRID],
      ],
      contours: { coloring: "lines", start: low, end: high, size: (high - low) / 12 },
      line: { width: 1 },
    },
  ];
  const rows = [];
  for (const cell of cells) {
    const path = data.paths[cell.cell_id];
    const shown = path.step.filter((step) => step <= now).length;
    const [x, y] = [path.x.slice(0, shown), path.y.slice(0, shown)];
    const failed = path.failed && shown === path.step.length;
    traces.push(lineOf(cell.optimizer, x, y, { line: { width: 1.6 }, hoverinfo: "skip" }));
    traces.push(
      lineOf(cell.optimizer, x.slice(-1), y.slice(-1), {
        mode: "markers",
        marker: {
          size: failed ? 11 : 9,
          symbol: failed ? "x" : lookOf(cell.optimizer).marker,
          line: { color: PAPER, width: 1 },
        },
        text: [
          hover(
            `${bold(cell.optimizer)}, rate ${cellText("lr", cell.lr_tuned)}`,
            `step ${whole(path.step[shown - 1] ?? 0)}: (${significant(x.at(-1), 3)}, ${significant(y.at(-1), 3)})`,
          ),
        ],
      }),
    );
    rows.push({
      optimizer: cell.optimizer,
      seed: path.seed,
      step: path.step[shown - 1],
      x: x.at(-1),
      y: y.at(-1),
      failed: path.failed,
    });
  }
  const point = (at, marker, text) => ({
    type: "scatter",
    mode: "markers",
    x: [at[0]],
    y: [at[1]],
    hoverinfo: "text",
    text: [text],
    marker: { color: INK, size: 11, ...marker },
  });
  traces.push(
    point(plane.start, { symbol: "circle-open", line: { width: 2 } }, "start"),
    point(plane.minimum, { symbol: "star", size: 13 }, "minimum"),
  );
  return {
    traces,
    rows,
    columns: [["optimizer"], ["seed"], ["step"], ["x"], ["y"], ["failed"]],
    layout: { xaxis: axis("x", { range: across, showgrid: false }), yaxis: axis("y", { range: up, showgrid: false }) },
    summary: `${headingOf(task)}: paths of ${cells.length} optimizers up to step ${now}.`,
    last,
    now,
  };
};
