// Tables: sorting, filtering, and the tables of the figures' data.

/** The value by which a cell is sorted: its number, or its text. */
function sortKey(cell) {
  if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
  const text = cell.textContent.trim();
  return text === "–" || text === "" ? null : text.toLowerCase();
}

/** Sorts a table by a column. Missing values come last; rows with equal values keep their order. */
function sortTable(table, place, descending) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [sortKey(row.cells[place]), row]);
  const way = descending ? -1 : 1;
  rows.sort(([one], [other]) =>
    one === null
      ? other === null
        ? 0
        : 1
      : other === null
        ? -1
        : typeof one === typeof other
          ? way * compared(one, other)
          : typeof one === "number"
            ? -1
            : 1,
  );
  body.append(...rows.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    if (index === place) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

/** Makes the headings of a table buttons that sort it. For tables with an id, the order is part of the address. */
function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    if (!head.textContent.trim()) return;
    const button = element(
      "button",
      {
        type: "button",
        class: "sort",
        onclick: () => {
          // The first click sorts in ascending order, further ones alternate.
          const first = !head.hasAttribute("aria-sort");
          const descending = first ? false : head.getAttribute("aria-sort") === "ascending";
          if (table.id) change({ sort: `${table.id}:${head.dataset.column}:${descending ? "down" : "up"}` });
          else sortTable(table, place, descending);
        },
      },
      ...head.childNodes,
    );
    head.append(button);
  });
}

/** Sorts the table that the address names. */
function showSorting() {
  const [id, column, way] = state.sort.split(":");
  document.querySelectorAll("table.sortable[id]").forEach((table) => {
    const place =
      table.id === id ? [...table.tHead.rows[0].cells].findIndex((head) => head.dataset.column === column) : -1;
    if (place >= 0) sortTable(table, place, way === "down");
    else if (table.querySelector("[aria-sort]")) {
      table.querySelector("[aria-sort]").removeAttribute("aria-sort");
      restore(table);
    }
  });
}

const originals = new Map();

/** Restores the initial order of the rows of a table. */
function restore(table) {
  const rows = originals.get(table);
  if (rows && rows[0]?.parentNode === table.tBodies[0]) table.tBodies[0].append(...rows);
}

/** Hides rows that do not pass the filters, and marks tables without a visible row. */
function filterRows() {
  document.querySelectorAll("main table.sortable").forEach((table) => {
    if (table.id === "standings") return;
    let left = 0;
    for (const row of table.tBodies[0].rows) {
      const about = {
        problem: row.dataset.problem,
        batch_size: row.dataset.batchSize,
        device: row.dataset.device,
        schedule: row.dataset.schedule,
        optimizer: row.dataset.optimizer,
      };
      const shown = FILTERS.every(
        (name) => about[name] === undefined || !state[name].length || state[name].includes(about[name]),
      );
      row.hidden = !shown;
      left += shown;
    }
    const around = table.closest(".tabled");
    if (around && isFiltered() && !left && table.tBodies[0].rows.length) around.dataset.none = "";
    else if (around) delete around.dataset.none;
  });
}

/** A table of records: columns are [name, heading] pairs. */
function tableOf(caption, columns, rows) {
  const head = element(
    "tr",
    {},
    ...columns.map(([name, heading]) =>
      element(
        "th",
        {
          scope: "col",
          "data-column": name,
          class: rows.some((row) => typeof row[name] === "number") ? "number" : null,
        },
        heading ?? name.replaceAll("_", " "),
      ),
    ),
  );
  const body = element("tbody");
  for (const row of rows) {
    body.append(
      element(
        "tr",
        {},
        ...columns.map(([name], place) => {
          const value = row[name] ?? null;
          const number = typeof value === "number";
          return place === 0
            ? element("th", { scope: "row" }, cellText(name, value))
            : element(
                "td",
                { class: number ? "number" : null, "data-v": number ? value : null },
                cellText(name, value),
              );
        }),
      ),
    );
  }
  const table = element(
    "table",
    { class: "sortable" },
    element("caption", {}, element("span", {}, caption)),
    element("thead", {}, head),
    body,
  );
  makeSortable(table);
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
}

/** Downloads a text as a file. */
function download(name, text, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** A value as CSV, with every digit; texts are quoted if necessary, and missing values are empty. */
function csvField(value) {
  if (value === null || value === undefined) return "";
  if (value === Infinity || value === -Infinity) return value > 0 ? "inf" : "-inf";
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv(names, rows) {
  return (
    [names.map(csvField).join(","), ...rows.map((row) => names.map((name) => csvField(row[name])).join(","))].join(
      "\n",
    ) + "\n"
  );
}

/** Records as JSON; infinite numbers become texts, because JSON has none. */
function json(names, rows) {
  const plain = (value) => (value === Infinity ? "inf" : value === -Infinity ? "-inf" : (value ?? null));
  return JSON.stringify(
    rows.map((row) => Object.fromEntries(names.map((name) => [name, plain(row[name])]))),
    null,
    1,
  );
}

/** Two buttons that download rows; `give` computes them on a click. */
function downloadButtons(name, give) {
  const button = (suffix, type, write) =>
    element(
      "button",
      {
        type: "button",
        onclick: () => {
          const [names, rows] = give();
          download(`${name}.${suffix}`, write(names, rows), type);
        },
      },
      suffix.toUpperCase(),
    );
  return [button("csv", "text/csv", csv), button("json", "application/json", json)];
}
