// The stability of the ranking: mean ranks with other targets, budgets, seeds and problems.

FIGURES.stability = () => {
  const columns = [
    ["variation"],
    ["level"],
    ["optimizer"],
    ["rank"],
    ["mean_rank", "mean rank"],
    ["tau", "Kendall’s τ with the reported ranking"],
    ["tasks"],
  ];
  const hidden = FILTERS.some((name) => state[name].length);
  if (hidden)
    return {
      empty: "This figure is computed from the full results and is not shown while a filter is active.",
      columns,
      rows: [],
    };
  const rows = rowsOf("rank_stability").filter((row) => row.rank !== null);
  const labels = [...grouped(rows, (row) => `${row.variation}\u0000${row.level}`).keys()];
  if (labels.length < 2)
    return { empty: "Nothing can be varied: there is only one target, budget, seed and problem.", columns, rows };
  const worded = (variation, level) =>
    variation === "none" ? "reported" : variation === "target" ? `target ${level}` : level;
  const text = labels.map((label) => {
    const [variation, level] = label.split("\u0000");
    return escaped(shortened(worded(variation, level).replace("% of the budget", "% budget").replace(/\[.*/, ""), 22));
  });
  // On a phone, many slanted labels do not fit: they are vertical there, and if there are too many, some are left out.
  const room = (document.querySelector('figure[data-figure="stability"] .plot').clientWidth - 80) / labels.length;
  const angle = labels.length <= 6 ? 0 : room < 18 ? -90 : -40;
  const every = Math.ceil(13 / Math.max(room, 1));
  const traces = [...grouped(rows, (row) => row.optimizer)].map(([optimizer, own]) => {
    const at = own.map((row) => labels.indexOf(`${row.variation}\u0000${row.level}`));
    // Lines connect levels of the same kind only, so there is a gap between the kinds of variations.
    const [x, y, about] = [[], [], []];
    own.forEach((row, place) => {
      if (place && own[place - 1].variation !== row.variation && own[place - 1].variation !== "none")
        [x, y, about].forEach((list) => list.push(null));
      x.push(at[place]);
      y.push(row.mean_rank);
      about.push(
        hover(
          bold(optimizer),
          escaped(worded(row.variation, row.level)),
          `rank ${row.rank}, mean rank ${significant(row.mean_rank, 3)}`,
          `τ of this ranking ${significant(row.tau, 2)}`,
        ),
      );
    });
    return lineOf(optimizer, x, y, { mode: "lines+markers", text: about, marker: { size: 8 } });
  });
  return {
    traces,
    rows,
    columns,
    height: 460,
    layout: {
      margin: {
        l: 64,
        r: 16,
        t: 12,
        b: angle ? 24 + (angle === -90 ? 7 : 4.6) * Math.max(...text.map((label) => label.length)) : 48,
      },
      xaxis: axis("", {
        tickvals: labels.map((_, place) => place).filter((place) => place % every === 0),
        ticktext: text.filter((_, place) => place % every === 0),
        tickangle: angle,
        showgrid: false,
        range: [-0.4, labels.length - 0.6],
      }),
      yaxis: axis("mean rank", { autorange: "reversed" }),
    },
    summary: `${labels.length - 1} variations of the ranking.`,
    note: rowsOf("rank_stability").find((row) => row.note)?.note
      ? `Not varied: ${rowsOf("rank_stability").find((row) => row.note).note}.`
      : "",
  };
};
