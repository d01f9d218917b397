// How the ranking moves with what one might as well have chosen.

FIGURES.stability = () => {
  const columns = [["variation"], ["level"], ["optimizer"], ["rank"], ["mean_rank", "mean rank"], ["tau", "Kendall’s τ with the ranking as it is"], ["tasks"]];
  const hidden = FILTERS.some((name) => state[name].length);
  if (hidden) return { empty: "About everything that was run: it is not recomputed for a selection, and so not shown.", columns, rows: [] };
  const rows = rowsOf("rank_stability").filter((row) => row.rank !== null);
  const labels = [...grouped(rows, (row) => `${row.variation}\u0000${row.level}`).keys()];
  if (labels.length < 2) return { empty: "Nothing can be varied here: one target, one budget, one seed and one problem make one ranking.", columns, rows };
  const worded = (variation, level) => (variation === "none" ? "as it is" : variation === "target" ? `target ${level}` : level);
  const text = labels.map((label) => {
    const [variation, level] = label.split("\u0000");
    return escaped(shortened(worded(variation, level).replace("% of the budget", "% budget").replace(/\[.*/, ""), 22));
  });
  // Slanted labels need more room than a phone has for many: there they are upright, and with more still not all are said.
  const room = (document.querySelector('figure[data-figure="stability"] .plot').clientWidth - 80) / labels.length;
  const angle = labels.length <= 6 ? 0 : room < 18 ? -90 : -40;
  const said = Math.ceil(13 / Math.max(room, 1));
  const traces = [...grouped(rows, (row) => row.optimizer)].map(([optimizer, own]) => {
    const at = own.map((row) => labels.indexOf(`${row.variation}\u0000${row.level}`));
    // A gap between the kinds of variations: lines lead from one level to the next of the same kind only.
    const [x, y, about] = [[], [], []];
    own.forEach((row, place) => {
      if (place && own[place - 1].variation !== row.variation && own[place - 1].variation !== "none") [x, y, about].forEach((list) => list.push(null));
      x.push(at[place]);
      y.push(row.mean_rank);
      about.push(`${bold(optimizer)}<br>${escaped(worded(row.variation, row.level))}<br>place ${row.rank}, mean rank ${significant(row.mean_rank, 3)}<br>τ of this ranking ${significant(row.tau, 2)}`);
    });
    return lineOf(optimizer, x, y, { mode: "lines+markers", text: about, marker: { size: 8 } });
  });
  return {
    traces, rows, columns, height: 460,
    layout: { margin: { l: 64, r: 16, t: 12, b: angle ? 24 + (angle === -90 ? 7 : 4.6) * Math.max(...text.map((label) => label.length)) : 48 }, xaxis: axis("", { tickvals: labels.map((_, place) => place).filter((place) => place % said === 0), ticktext: text.filter((_, place) => place % said === 0), tickangle: angle, showgrid: false, range: [-0.4, labels.length - 0.6] }), yaxis: axis("mean rank", { autorange: "reversed" }) },
    summary: `${labels.length - 1} variations of the ranking.`, note: rowsOf("rank_stability").find((row) => row.note)?.note ? `Not varied: ${rowsOf("rank_stability").find((row) => row.note).note}.` : "",
  };
};
