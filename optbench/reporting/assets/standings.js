// The leaderboard over all tasks, recomputed for a selection (see optbench/reporting/standings.py).

/** The rows of the table `standings` for the results that pass the filters, against the chosen reference. */
const standings = cached(() => {
  const names = shownOptimizers();
  const whole = !isFiltered();
  const known = new Map(rowsOf("standings").map((row) => [row.optimizer, row]));
  const losses = filtered(rowsOf("seed_losses"));
  const ran = new Set(losses.map((row) => row.optimizer));
  const scores = grouped(
    commonScores(
      filtered(rowsOf("normalised")),
      names.filter((name) => ran.has(name)),
    ),
    (row) => row.optimizer,
  );
  const pairs = shownImprovements();
  const board = grouped(ranked(filtered(rowsOf("leaderboard"))), (row) => row.optimizer);
  const judged = grouped(
    filtered(rowsOf("verdicts_by_reference")).filter((row) => row.reference === state.reference),
    (row) => row.optimizer,
  );
  const findings = filtered(rowsOf("audit"));
  const rows = names.map((optimizer) => {
    const own = board.get(optimizer) ?? [];
    const verdicts = (verdict) =>
      optimizer === state.reference
        ? null
        : (judged.get(optimizer) ?? []).filter((row) => row.verdict === verdict).length;
    const ranks = own.map((row) => row.rank).filter((rank) => rank !== null);
    const reached = own.map((row) => row.target_reached).filter((value) => value !== null);
    return {
      optimizer,
      beaten: ranks.length
        ? pairs.filter((pair) => pair.other === optimizer && pair.probability_low > 0.5).length
        : null,
      score: interquartileMean((scores.get(optimizer) ?? []).map((row) => row.score)),
      score_low: whole ? (known.get(optimizer)?.score_low ?? null) : null,
      score_high: whole ? (known.get(optimizer)?.score_high ?? null) : null,
      median_rank: median(ranks),
      wins: verdicts("win"),
      ties: verdicts("tie"),
      losses: verdicts("loss"),
      inconclusive: verdicts("inconclusive"),
      target_reached: mean(reached),
      step_ratio: ratioToReference(optimizer, "step_ms"),
      memory_ratio: ratioToReference(optimizer, "memory"),
      failed_runs: own.reduce((sum, row) => sum + row.n_runs - row.n_ok, 0),
      audit: findings.filter((row) => row.optimizer === optimizer).length,
    };
  });
  rows.forEach((row) => {
    row.rank =
      row.beaten === null
        ? null
        : 1 + rows.filter((other) => other.beaten !== null && other.beaten < row.beaten).length;
  });
  rows.forEach((row) => {
    row.tied = row.rank !== null && rows.some((other) => other !== row && other.rank === row.rank);
  });
  const last = (value) => (value === null ? Infinity : value);
  return rows.sort(
    (a, b) =>
      compared(last(a.rank), last(b.rank)) ||
      compared(last(b.score === null ? null : b.score), last(a.score)) *
        (a.score === null || b.score === null ? -1 : 1) ||
      compared(last(a.median_rank), last(b.median_rank)) ||
      (a.optimizer < b.optimizer ? -1 : 1),
  );
});

/** The probabilities of improvement for the results that pass the filters. */
const shownImprovements = cached(() => {
  const losses = rowsOf("ranked_losses" in frames ? "ranked_losses" : "seed_losses");
  return improvements(filtered(losses), shownOptimizers());
});

const compared = (one, other) => (one === other ? 0 : one < other ? -1 : 1);

/** Rows of the leaderboard with ranks among these rows. The order is kept; ties share the better rank. */
function ranked(rows) {
  if (!state.optimizer.length) return rows;
  return [...grouped(rows, taskOf).values()].flatMap((task) =>
    task.map((row) => ({
      ...row,
      rank: row.rank === null ? null : 1 + task.filter((other) => other.rank !== null && other.rank < row.rank).length,
    })),
  );
}

/** For each task that passes the filters, the rows of `speeds` by optimizer. */
const shownSpeeds = cached(() =>
  [...grouped(filtered(rowsOf("speeds"), ["optimizer"]), taskOf).values()].map(
    (task) => new Map(task.map((row) => [row.optimizer, row])),
  ),
);

/** The geometric mean over tasks of the ratio of a column (step_ms, memory) to that of the reference. */
function ratioToReference(optimizer, figure) {
  const logs = [];
  for (const task of shownSpeeds()) {
    const [own, other] = [optimizer, state.reference].map((name) => task.get(name)?.[figure]);
    if (own > 0 && other > 0) logs.push(Math.log(own / other));
  }
  return logs.length ? Math.exp(mean(logs)) : null;
}

/** Shows the recomputed leaderboard. */
function showStandings() {
  const table = document.getElementById("standings");
  const columns = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.column);
  const body = element("tbody");
  for (const row of standings()) {
    const made = element("tr", { "data-optimizer": row.optimizer });
    for (const column of columns) {
      if (column === "optimizer") made.append(element("th", { scope: "row" }, ...breakable(row.optimizer)));
      else {
        made.append(element("td", { class: "number", "data-v": row[column] ?? null }, standingText(column, row)));
      }
    }
    body.append(made);
  }
  table.tBodies[0].replaceWith(body);
  const scope = sentence(isFiltered() ? "selected" : "all");
  table.caption.firstElementChild.textContent = `${scope} ${sentence("standings", { reference: state.reference })}`;
  const note = document.getElementById("standings-stale");
  note.hidden = !isFiltered();
  note.textContent = `${RECOMPUTED} Verdicts keep the adjustment for all optimizers that were run.`;
}

/** A cell of the leaderboard as text. */
function standingText(column, row) {
  if (column === "interval")
    return row.score_low === null ? "–" : `${row.score_low.toFixed(3)} – ${row.score_high.toFixed(3)}`;
  const value = row[column];
  if (value === null) return "–";
  if (column === "rank") return `${row.tied ? "=" : ""}${value}`;
  if (column === "score") return value.toFixed(3);
  return column.endsWith("_ratio") ? `${significant(value, 3)}×` : cellText(column, value);
}
