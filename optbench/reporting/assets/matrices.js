// The two matrices: speed-up over the reference, and probability of improvement of each pair.

/** An entry from the costs of an optimizer and the reference (see `speedup` in optbench/reporting/matrices.py). */
function speedup(cost, reference) {
  if (cost === null) return { text: "–", words: sentence("speedup_missed"), shade: 0, hatched: true, value: null };
  if (reference === null || reference === undefined)
    return { text: "only", words: sentence("speedup_only"), shade: 1, value: null };
  const ratio = cost ? reference / cost : Infinity;
  const text = significant(ratio, 2);
  return {
    text: `${text}×`,
    words: Number(text) === 1 ? sentence("speedup_equal") : sentence("speedup_ratio", { ratio: text }),
    shade: cost ? Math.max(-1, Math.min(1, Math.log2(ratio) / 2)) : 1,
    value: ratio,
  };
}

/** The target that is shown for a problem: the chosen one, otherwise `medium`, otherwise its first one. */
function targetOf(rows) {
  const names = distinct(rows, "target_name");
  return [state.target, "medium"].find((name) => names.includes(name)) ?? names[0];
}

/** The optimizers that are shown, in the order of their mean rank in the full results. */
const rankedOptimizers = () =>
  rowsOf("summary")
    .map((row) => row.optimizer)
    .filter((name) => shownOptimizers().includes(name));

/** Rows of the speed-up matrix: {heading, task, entries by optimizer}. */
function speedupRows() {
  const names = rankedOptimizers();
  const column = state.by === "seconds" ? "median_seconds" : "median_cost";
  return [...grouped(filtered(rowsOf("target_summary"), ["optimizer"]), taskOf).values()].map((rows) => {
    const target = targetOf(rows);
    const own = new Map(rows.filter((row) => row.target_name === target).map((row) => [row.optimizer, row]));
    const entries = names.map((name) =>
      own.has(name)
        ? { ...speedup(own.get(name)[column], own.get(state.reference)?.[column] ?? null), row: own.get(name) }
        : null,
    );
    return { heading: headingOf(rows[0]), task: rows[0], target, entries };
  });
}

/** A task in words; device and schedule only if there are several. */
function headingOf(task) {
  const several = ["device", "schedule"].filter((name) => distinct(rowsOf("cells"), name).length > 1);
  return [task.problem, `batch ${task.batch_size}`, ...several.map((name) => task[name])].join(", ");
}

function showMatrix(id, corner, names, rows, caption) {
  const table = document.getElementById(id);
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, corner),
    ...names.map((name) => element("th", { scope: "col", class: "tilt" }, element("span", {}, ...breakable(name)))),
  );
  const body = element(
    "tbody",
    {},
    ...rows.map((row) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, ...breakable(row.heading)),
        ...row.entries.map((entry, place) => {
          if (!entry) return element("td", { class: "none" });
          const inside = row.task
            ? element(
                "button",
                {
                  type: "button",
                  "aria-label": `${names[place]}, ${row.heading}: ${entry.words}. Show the task.`,
                  onclick: () => showTask(row.task, names[place]),
                },
                entry.text,
              )
            : entry.text;
          return element(
            "td",
            {
              class: `shade${entry.hatched ? " hatched" : ""}${names[place] === state.lit ? " lit" : ""}`,
              style: `--shade:${entry.shade.toFixed(3)}`,
              title: entry.title ?? entry.words,
              "data-v": entry.value,
            },
            inside,
          );
        }),
      ),
    ),
  );
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceWith(body);
  table.caption.firstElementChild.textContent = caption;
}

function showSpeedups() {
  const rows = speedupRows();
  for (const row of rows)
    for (const entry of row.entries)
      if (entry) {
        const { success, success_low, success_high, median_cost, n_seeds } = entry.row;
        const [low, high] = [success_low, success_high].map((share) => significant(100 * share, 2));
        entry.title =
          entry.words +
          (median_cost === null ? "" : `; median cost ${cellText("cost", median_cost)}`) +
          (success === null ? "" : `; reached on ${Math.round(success * n_seeds)} of ${n_seeds} seeds`) +
          (success === null ? "" : ` (95 % interval ${low} to ${high} %)`);
      }
  const measure = state.by === "seconds" ? "seconds" : "cost";
  showMatrix("speedup", "task", rankedOptimizers(), rows, sentence("speedup", { measure, reference: state.reference }));
}

function showImprovements() {
  const names = rankedOptimizers();
  const pairs = new Map(shownImprovements().map((row) => [`${row.optimizer}\u0000${row.other}`, row]));
  const rows = names.map((heading) => ({
    heading,
    entries: names.map((other) => {
      const row = pairs.get(`${heading}\u0000${other}`);
      if (!row || row.probability === null) return null;
      const [share, low, high] = [row.probability, row.probability_low, row.probability_high].map(
        (value) => 100 * value,
      );
      const text = share.toFixed(0);
      const words = sentence("improvement_entry", { share: text, low: low.toFixed(0), high: high.toFixed(0) });
      return {
        text: low <= 50 && high >= 50 ? `(${text})` : text,
        shade: (share - 50) / 50,
        value: row.probability,
        words: `${heading} over ${other}: ${words}, ${row.n_pairs} seeds`,
      };
    }),
  }));
  showMatrix(
    "improvement",
    "row better than",
    names,
    rows,
    noteOf(sentence("improvement"), isFiltered() ? "Recomputed for the selection." : ""),
  );
}

/** A matrix as it is on the page, as the text of an SVG file. */
function matrixSvg(table) {
  const [wide, high, side] = [62, 24, 260];
  const rows = [...table.querySelectorAll("tr")];
  const width = side + wide * (rows[0].cells.length - 1) + 10;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${high * rows.length + 14}" `,
    'font-family="sans-serif" font-size="11">',
    '<rect width="100%" height="100%" fill="#fff"/>',
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">',
    '<path d="M0 0V6" stroke="#999"/></pattern>',
  ];
  rows.forEach((row, y) =>
    [...row.cells].forEach((cell, x) => {
      const [left, top] = [x ? side + (x - 1) * wide : 6, 4 + y * high];
      if (cell.tagName === "TD" && !cell.classList.contains("none")) {
        const shade = Number(cell.style.getPropertyValue("--shade"));
        const fill = cell.classList.contains("hatched") ? "url(#hatch)" : shade < 0 ? "#d9822b" : "#2b7fc4";
        const opacity = cell.classList.contains("hatched") ? 0.6 : 0.55 * Math.abs(shade);
        parts.push(
          `<rect x="${left + 1}" y="${top + 1}" width="${wide - 2}" height="${high - 2}" `,
          `fill="${fill}" fill-opacity="${opacity.toFixed(3)}"/>`,
        );
      }
      const place = x ? `x="${left + wide / 2}" text-anchor="middle"` : `x="${left}"`;
      parts.push(`<text ${place} y="${top + 16}">${escaped(cell.textContent)}</text>`);
    }),
  );
  return [...parts, "</svg>"].join("");
}

/** The names of the columns and the rows of a matrix, for download. */
function matrixRows(id) {
  if (id === "improvement") {
    return [
      ["optimizer", "other", "probability", "probability_low", "probability_high", "n_pairs"],
      shownImprovements(),
    ];
  }
  const names = rankedOptimizers();
  const rows = speedupRows().flatMap(({ task, target, entries }) =>
    entries.map((entry, place) => ({
      ...Object.fromEntries(GROUP.map((name) => [name, task[name]])),
      target,
      optimizer: names[place],
      reference: state.reference,
      by: state.by,
      speedup: entry?.value ?? null,
      cost: entry?.row.median_cost ?? null,
      seconds: entry?.row.median_seconds ?? null,
      success: entry?.row.success ?? null,
    })),
  );
  return [Object.keys(rows[0] ?? { problem: "" }), rows];
}
