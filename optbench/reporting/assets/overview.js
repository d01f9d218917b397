// Figures about all problems: the performance profile and the scores.

const RATIO_MAX = 4;
const RATIOS = Array.from({ length: 61 }, (_, place) => RATIO_MAX ** (place / 60));

/** The ratios to the fastest optimizer, for each optimizer that is shown, on each unit that all of them have. */
function profileRatios() {
  const rows = filtered(rowsOf("profile_units").filter((row) => row.measure === state.by));
  const pool = distinct(rows, "optimizer");
  const units = [...grouped(rows, (row) => `${taskOf(row)}\u0000${row.target_name}`).values()].map(
    (unit) => new Map(unit.filter((row) => row.time !== null).map((row) => [row.optimizer, row.time])),
  );
  const shared = units.filter((unit) => pool.every((name) => unit.has(name)));
  const ratios = new Map(
    pool.map((name) => [
      name,
      shared.map((unit) => {
        const fastest = Math.min(...unit.values());
        const time = unit.get(name);
        return time === Infinity ? Infinity : time === fastest ? 1 : time / fastest;
      }),
    ]),
  );
  return { ratios, units: shared.length, left: units.length - shared.length };
}

FIGURES.profile = () => {
  const { ratios, units, left } = profileRatios();
  if (!units)
    return {
      empty: "There is no target on which all of these optimizers were run.",
      columns: [["optimizer"]],
      rows: [],
    };
  const whole = !isFiltered();
  const areas = new Map(
    rowsOf("performance_profile")
      .filter((row) => row.measure === state.by)
      .map((row) => [row.optimizer, row]),
  );
  const bands = grouped(
    rowsOf("profile_curves").filter((row) => row.measure === state.by),
    (row) => row.optimizer,
  );
  const rows = [...ratios]
    .map(([optimizer, own]) => ({
      optimizer,
      area: mean(own.map((ratio) => Math.max(0, (RATIO_MAX - ratio) / (RATIO_MAX - 1)))),
      area_low: whole ? (areas.get(optimizer)?.area_low ?? null) : null,
      area_high: whole ? (areas.get(optimizer)?.area_high ?? null) : null,
      fastest: own.filter((ratio) => ratio === 1).length / units,
      solved: own.filter((ratio) => ratio < Infinity).length / units,
      units,
    }))
    .sort((one, other) => other.area - one.area);
  const traces = [];
  for (const { optimizer, area, area_low, area_high } of rows) {
    const band = bands.get(optimizer);
    const share = RATIOS.map(
      (ratio) => ratios.get(optimizer).filter((own) => own <= ratio * (1 + 1e-12)).length / units,
    );
    if (whole && band && (state.lit === optimizer || rows.length === 1))
      traces.push(
        bandOf(
          optimizer,
          RATIOS,
          band.map((row) => row.share_low),
          band.map((row) => row.share_high),
        ),
      );
    traces.push(
      lineOf(optimizer, RATIOS, share, {
        line: { shape: "hv" },
        text: RATIOS.map((ratio, place) => {
          const percent = (value) => (100 * value).toFixed(0);
          const interval =
            whole && band ? ` [${percent(band[place].share_low)}, ${percent(band[place].share_high)}]` : "";
          return hover(
            bold(optimizer),
            `within ${significant(ratio, 3)}× of the fastest`,
            `on ${percent(share[place])} %${interval} of ${units} targets`,
            `area ${withInterval(area, area_low, area_high)}`,
          );
        }),
      }),
    );
  }
  return {
    traces,
    columns: [["optimizer"], ["area"], ["area_low"], ["area_high"], ["fastest"], ["solved"], ["units"]],
    rows,
    layout: {
      xaxis: logAxis(`${state.by === "cost" ? "cost" : "time"} to target, relative to the fastest`, [], {
        range: [0, Math.log10(RATIO_MAX)],
        tickvals: [1, 1.5, 2, 3, 4],
        ticktext: ["1×", "1.5×", "2×", "3×", "4×"],
      }),
      yaxis: axis("share of targets", { range: [-0.02, 1.03], tickformat: ".0%" }),
    },
    summary: `${rows[0].optimizer} has the largest area, ${significant(rows[0].area, 3)}, over ${units} targets.`,
    note: noteOf(
      whole ? "" : RECOMPUTED,
      left ? `${left} targets are left out because not all optimizers were run on them.` : "",
    ),
  };
};

const RECOMPUTED = "Recomputed for the selection, without intervals.";
const noteOf = (...parts) => parts.filter(Boolean).join(" ");

/** The band between two lines in an optimizer's colour. */
function bandOf(name, x, low, high) {
  const known = x.map((_, place) => low[place] !== null && high[place] !== null);
  const keep = (values) => values.filter((_, place) => known[place]);
  const [xs, lows, highs] = [keep(x), keep(low), keep(high)];
  return {
    type: "scatter",
    mode: "lines",
    name,
    x: [...xs, ...xs.toReversed()],
    y: [...highs, ...lows.toReversed()],
    fill: "toself",
    fillcolor: transparent(lookOf(name).color, 0.16),
    line: { width: 0 },
    hoverinfo: "skip",
    opacity: emphasis(name),
  };
}

function transparent(color, share) {
  const [r, g, b] = [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
  // Ink is light on a dark page; for a surface, grey replaces it.
  return color === INK ? `rgba(128,128,128,${share})` : `rgba(${r},${g},${b},${share})`;
}

FIGURES.scores = () => {
  const rows = standings()
    .filter((row) => row.score !== null)
    .sort((one, other) => one.score - other.score)
    .map(({ optimizer, score, score_low, score_high }) => ({ optimizer, score, score_low, score_high }));
  if (!rows.length)
    return {
      empty: "There is no problem with a target on which all of these optimizers were run.",
      columns: [["optimizer"]],
      rows,
    };
  const traces = rows.map(({ optimizer, score, score_low, score_high }) =>
    lineOf(optimizer, [score], [optimizer], {
      mode: "markers",
      marker: { size: 10 },
      text: [`${bold(optimizer)}<br>score ${withInterval(score, score_low, score_high)}`],
      error_x:
        score_low === null
          ? undefined
          : {
              type: "data",
              symmetric: false,
              array: [score_high - score],
              arrayminus: [score - score_low],
              color: lookOf(optimizer).color,
              thickness: 1.6,
              width: 4,
            },
    }),
  );
  const intervals = rows.some((row) => row.score_low !== null);
  return {
    traces,
    rows: rows.toReversed(),
    columns: [["optimizer"], ["score"], ["score_low"], ["score_high"]],
    height: 90 + 27 * rows.length,
    layout: {
      margin: { l: roomFor(rows.map((row) => row.optimizer)), r: 16, t: 12, b: 48 },
      xaxis: axis("score"),
      yaxis: axis("", {
        type: "category",
        categoryarray: rows.map((row) => row.optimizer),
        tickvals: rows.map((row) => row.optimizer),
        ticktext: rows.map((row) => escaped(row.optimizer)),
      }),
      shapes: [
        { type: "line", x0: 1, x1: 1, y0: 0, y1: 1, yref: "paper", line: { color: GRID, width: 1, dash: "dot" } },
      ],
    },
    summary: `${rows.at(-1).optimizer} has the highest score, ${significant(rows.at(-1).score, 3)}.`,
    note: isFiltered()
      ? RECOMPUTED
      : intervals
        ? ""
        : "There are too few seeds or problems for intervals; the table aggregate gives the reason.",
  };
};
