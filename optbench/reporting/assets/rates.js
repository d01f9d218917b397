// Figures of learning rates: sensitivity, gain from tuning, and best loss by tuning budget.

const AT_END = "validation loss at the end of the trial";
const NO_TRIALS = "No tuning trials pass the filters.";
const RACED = "Not drawn: trials of a race are compared before their end.";

FIGURES.rates = () => {
  const cells = new Map(taskCells().map((cell) => [cell.optimizer, cell]));
  const trials = grouped(taskCells(rowsOf("trials")), (row) => row.optimizer);
  if (!trials.size) return { ...NOTHING, empty: NO_TRIALS };
  const rows = [...trials.values()].flat().map(({ optimizer, trial, lr, status, valid_loss }) => ({
    optimizer,
    trial,
    lr,
    valid_loss,
    status,
    chosen: status === "ok" && lr === cells.get(optimizer)?.lr_tuned,
  }));
  const losses = rows
    .filter((row) => row.status === "ok" && row.valid_loss !== null && row.valid_loss < Infinity)
    .map((row) => row.valid_loss);
  const log = losses.length > 0 && losses.every((loss) => loss > 0);
  const limits = rangeOf(losses, [], log, false) ?? [0, 1];
  const top = log ? 10 ** limits[1] : limits[1];
  const traces = [];
  for (const [optimizer, own] of trials) {
    const ok = own
      .filter((row) => row.status === "ok" && row.valid_loss !== null && row.lr !== null)
      .sort((one, other) => one.lr - other.lr);
    const lost = own.filter((row) => row.status === "diverged" && row.lr !== null);
    const about = (row) => {
      const kinds = [row.trial === 0 && "(default)", row.lr === cells.get(optimizer)?.lr_tuned && "(chosen)"];
      return hover(
        [`${bold(optimizer)}, trial ${row.trial}`, ...kinds.filter(Boolean)].join(" "),
        `rate ${cellText("lr", row.lr)}`,
        `validation loss ${significant(row.valid_loss)}`,
      );
    };
    traces.push(
      lineOf(
        optimizer,
        ok.map((row) => row.lr),
        ok.map((row) => row.valid_loss),
        {
          mode: "lines+markers",
          line: { width: 1.2 },
          text: ok.map(about),
          marker: {
            symbol: ok.map((row) => (row.trial === 0 ? "circle-open" : lookOf(optimizer).marker)),
            size: ok.map((row) => (row.lr === cells.get(optimizer)?.lr_tuned ? 12 : row.trial === 0 ? 10 : 7)),
            line: {
              color: ok.map((row) => (row.lr === cells.get(optimizer)?.lr_tuned ? INK : lookOf(optimizer).color)),
              width: ok.map((row) => (row.lr === cells.get(optimizer)?.lr_tuned ? 1.5 : row.trial === 0 ? 2 : 0)),
            },
          },
        },
      ),
    );
    if (lost.length)
      traces.push(
        lineOf(
          optimizer,
          lost.map((row) => row.lr),
          lost.map(() => top),
          {
            mode: "markers",
            marker: { symbol: "x-thin", size: 9, line: { color: lookOf(optimizer).color, width: 2 } },
            text: lost.map(
              (row) => `${bold(optimizer)}, trial ${row.trial}<br>rate ${cellText("lr", row.lr)} diverged`,
            ),
          },
        ),
      );
  }
  const widths = new Map(taskCells(rowsOf("lr_sensitivity")).map((row) => [row.optimizer, row]));
  return {
    traces,
    rows: rows.map((row) => ({ ...row, width: widths.get(row.optimizer)?.width ?? null })),
    columns: [
      ["optimizer"],
      ["trial"],
      ["lr", "learning rate"],
      ["valid_loss", "validation loss"],
      ["status"],
      ["chosen"],
      ["width", "width of good rates, decades"],
    ],
    layout: {
      xaxis: logAxis(
        "learning rate",
        rows.map((row) => row.lr ?? 0),
      ),
      yaxis: log
        ? logAxis(AT_END, losses, { range: limits })
        : axis(AT_END, { range: [limits[0], limits[1] + 0.04 * (limits[1] - limits[0])] }),
    },
    summary: `${headingOf(chosenTask())}: ${rows.length} trials.`,
  };
};

FIGURES.gain = () => {
  const cells = taskCells();
  const finals = grouped(taskCells(rowsOf("shared_seeds")), (row) => row.optimizer);
  const rows = cells
    .filter((cell) => finals.has(cell.optimizer))
    .map((cell) => {
      const [tuned, untuned] = [true, false].map((kind) =>
        finals.get(cell.optimizer).find((row) => row.tuned === kind),
      );
      return {
        optimizer: cell.optimizer,
        tuned: tuned?.median ?? null,
        tuned_low: tuned?.lowest ?? null,
        tuned_high: tuned?.highest ?? null,
        untuned: untuned?.median ?? null,
        lr: cell.lr_tuned,
        lr_default: cell.lr_default,
      };
    });
  const sign = cells[0]?.metric_higher_is_better ? 1 : -1;
  rows.sort((one, other) => sign * ((one.tuned ?? -sign * Infinity) - (other.tuned ?? -sign * Infinity)));
  if (!rows.length) return NOTHING;
  const name = `test ${cells[0].metric_name}`;
  const traces = rows.flatMap((row, place) => {
    const about = hover(
      bold(row.optimizer),
      `tuned, rate ${cellText("lr", row.lr)}: ${withInterval(row.tuned, row.tuned_low, row.tuned_high, 4)}`,
      `default, rate ${cellText("lr", row.lr_default)}: ${significant(row.untuned)}`,
    );
    const own = [];
    if (row.tuned !== null && row.untuned !== null)
      own.push(
        lineOf(row.optimizer, [row.untuned, row.tuned], [place, place], {
          line: { width: 2, dash: "solid" },
          hoverinfo: "skip",
        }),
      );
    if (row.tuned_low !== null)
      own.push(
        lineOf(row.optimizer, [row.tuned_low, row.tuned_high], [place - 0.2, place - 0.2], {
          line: { width: 1, dash: "solid" },
          hoverinfo: "skip",
        }),
      );
    if (row.untuned !== null)
      own.push(
        lineOf(row.optimizer, [row.untuned], [place], {
          mode: "markers",
          marker: { symbol: "circle-open", size: 9, line: { width: 2 } },
          text: [about],
        }),
      );
    if (row.tuned !== null)
      own.push(lineOf(row.optimizer, [row.tuned], [place], { mode: "markers", marker: { size: 10 }, text: [about] }));
    return own;
  });
  const values = rows.flatMap((row) => [row.tuned, row.untuned]).filter((value) => value !== null);
  return {
    traces,
    rows: rows.toReversed(),
    columns: [
      ["optimizer"],
      ["lr", "tuned rate"],
      ["tuned", `${name}, tuned`],
      ["tuned_low", "lowest seed"],
      ["tuned_high", "highest seed"],
      ["lr_default", "default rate"],
      ["untuned", `${name}, default`],
    ],
    height: 100 + 28 * rows.length,
    layout: {
      margin: { l: roomFor(rows.map((row) => row.optimizer)), r: 16, t: 12, b: 48 },
      xaxis: (values.length ? positive(values, sign < 0) : axis)(name),
      yaxis: axis("", {
        tickvals: rows.map((_, place) => place),
        ticktext: rows.map((row) => escaped(row.optimizer)),
        range: [-0.7, rows.length - 0.3],
      }),
    },
    summary: `${headingOf(chosenTask())}: ${name}, medians over the seeds that have both runs.`,
  };
};

FIGURES.budget = () => {
  const bestOf = (row) => (row.method === "repeated" ? row.median_best : row.best);
  const present = (value) => value !== null && value < Infinity;
  const own = taskCells(rowsOf("best_of_k"));
  if (!own.length) {
    // A race of few points may have stopped none in this task.
    const raced = rowsOf("trials").some((row) => row.status === "stopped") && taskCells(rowsOf("trials")).length > 0;
    return { ...NOTHING, empty: raced ? RACED : NO_TRIALS };
  }
  const traces = [...grouped(own, (row) => row.optimizer)].map(([optimizer, rows]) => {
    const known = rows.filter((row) => present(bestOf(row)));
    return lineOf(
      optimizer,
      known.map((row) => row.run_budgets),
      known.map(bestOf),
      {
        mode: "lines+markers",
        line: { shape: "hv" },
        marker: { size: 5 },
        text: known.map((row) => {
          const what = row.method === "repeated" ? `median of ${row.studies} tunings` : `best of ${row.k} trials`;
          return hover(
            bold(optimizer),
            `${what}: validation loss ${withInterval(bestOf(row), row.best_low, row.best_high, 4)}`,
            `tuning cost: ${significant(row.run_budgets, 3)} run budgets`,
          );
        }),
      },
    );
  });
  const values = own.map(bestOf).filter(present);
  const method = own.some((row) => row.method === "running")
    ? "Each line shows a single tuning and is partly due to chance."
    : "";
  return {
    traces,
    rows: own,
    columns: [
      ["optimizer"],
      ["k", "trials"],
      ["run_budgets", "tuning cost, run budgets"],
      ["cost"],
      ["best", "best validation loss"],
      ["median_best", "median"],
      ["best_low", "low"],
      ["best_high", "high"],
      ["studies"],
      ["method"],
    ],
    height: 380,
    layout: {
      xaxis: axis("tuning cost (run budgets)", { rangemode: "tozero" }),
      yaxis: (values.every((value) => value > 0) ? positive(values) : axis)("best validation loss"),
    },
    summary: `${headingOf(chosenTask())}.`,
    note: method,
  };
};
