// Figures against the batch size on one problem and device: loss, cost, time, step time and memory.

/** The rows of the chosen problem, device and schedule, for all batch sizes that pass the filters. */
function overBatches(rows) {
  const task = chosenTask();
  const fixed = ["problem", "device", "schedule"];
  return task ? rows.filter((row) => fixed.every((name) => row[name] === task[name]) && passes(row)) : [];
}

/** A figure of a value against the batch size, with one line per optimizer. */
function againstBatch(rows, value, { title, low, high, words, shared = {}, missing }) {
  const known = rows.filter((row) => row[value] !== null && row[value] !== undefined && row[value] < Infinity);
  if (!known.length) return { empty: missing, columns: [["optimizer"], ["batch_size"]], rows: [] };
  const sizes = distinct(rows, "batch_size").sort((a, b) => a - b);
  if (sizes.length < 2)
    return { empty: "There is only one batch size.", columns: [["optimizer"], ["batch_size"]], rows: [] };
  const traces = [...grouped(known, (row) => row.optimizer)].map(([optimizer, own]) => {
    const sorted = own.toSorted((one, other) => one.batch_size - other.batch_size);
    return lineOf(
      optimizer,
      sorted.map((row) => row.batch_size),
      sorted.map((row) => row[value]),
      {
        mode: "lines+markers",
        text: sorted.map((row) =>
          hover(
            `${bold(optimizer)}, batch ${row.batch_size}`,
            `${words} ${withInterval(row[value], row[low] ?? null, row[high] ?? null, 4)}`,
          ),
        ),
        error_y:
          low && sorted.every((row) => row[low] !== null)
            ? {
                type: "data",
                symmetric: false,
                array: sorted.map((row) => row[high] - row[value]),
                arrayminus: sorted.map((row) => row[value] - row[low]),
                thickness: 1,
                width: 2,
                color: lookOf(optimizer).color,
              }
            : undefined,
      },
    );
  });
  const values = known
    .flatMap((row) => [row[value], ...(low ? [row[low], row[high]] : [])])
    .filter((one) => one !== null);
  const columns = [
    ["optimizer"],
    ["batch_size", "batch size"],
    [value, title],
    ...(low
      ? [
          [low, "lowest"],
          [high, "highest"],
        ]
      : []),
  ];
  return {
    traces,
    columns,
    rows: rows.toSorted((one, other) => compared(one.optimizer, other.optimizer) || one.batch_size - other.batch_size),
    layout: {
      xaxis: logAxis("batch size", sizes, {
        tickvals: sizes,
        ticktext: sizes.map(String),
        range: [Math.log10(sizes[0] * 0.85), Math.log10(sizes.at(-1) * 1.18)],
      }),
      yaxis: positive(values)(title),
      margin: { l: 60, r: 12, t: 10, b: 44 },
      ...shared,
    },
    summary: `${chosenTask().problem}, batch sizes ${inWords(sizes.map(String))}.`,
  };
}

FIGURES.scaling_loss = () =>
  againstBatch(
    overBatches(rowsOf("final_loss")).filter((row) => row.tuned),
    "median",
    {
      title: "test loss, median",
      low: "lowest",
      high: "highest",
      words: "test loss",
      missing: "The test losses of these cells are unknown.",
    },
  );

/** The times to the chosen target, one row per cell. */
function reachedTargets() {
  return [...grouped(overBatches(rowsOf("target_summary")), (row) => row.problem).values()].flatMap((rows) =>
    rows.filter((row) => row.target_name === targetOf(rows)),
  );
}

FIGURES.scaling_cost = () =>
  againstBatch(reachedTargets(), "median_cost", {
    title: "cost to target, median",
    words: "cost to target",
    missing: "In no cell did half of the seeds reach the target.",
  });
FIGURES.scaling_seconds = () =>
  againstBatch(reachedTargets(), "median_seconds", {
    title: "seconds to target, median",
    words: "seconds to target",
    missing: "In no cell did half of the seeds reach the target, or the speed was not measured.",
  });
FIGURES.scaling_step = () =>
  againstBatch(overBatches(rowsOf("cells")), "step_ms", {
    title: "ms per step",
    low: "step_ms_low",
    high: "step_ms_high",
    words: "milliseconds per step",
    missing: "The time per step was not measured.",
  });
FIGURES.scaling_memory = () => {
  const rows = overBatches(rowsOf("speeds"));
  const most = Math.max(...rows.map((row) => row.memory ?? 0));
  const [unit, size] = most < 2 ** 20 ? ["KiB", 2 ** 10] : most < 2 ** 30 ? ["MiB", 2 ** 20] : ["GiB", 2 ** 30];
  const sized = rows.map((row) => ({ ...row, in_unit: row.memory === null ? null : row.memory / size }));
  return againstBatch(sized, "in_unit", { title: `memory, ${unit}`, words: unit, missing: "Memory was not measured." });
};
