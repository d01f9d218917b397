// Sets up the page, and updates it when the choices change.

/** Sets up the theme: that of the system, or the one that the reader has chosen on this machine. */
function setUpTheme() {
  const select = document.getElementById("theme");
  const stored = (act) => {
    try {
      return act(window.localStorage);
    } catch {
      return null;
    }
  };
  const show = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  select.value = stored((storage) => storage.getItem("optbench-theme")) ?? "auto";
  if (!select.value) select.value = "auto";
  show(select.value);
  select.addEventListener("change", () => {
    show(select.value);
    stored((storage) => storage.setItem("optbench-theme", select.value));
  });
}

/** Marks the rows of the highlighted optimizer in all tables. */
function showLit() {
  document.querySelectorAll("main table.sortable").forEach((table) => {
    for (const row of table.tBodies[0].rows)
      row.classList.toggle("lit", Boolean(state.lit) && row.dataset.optimizer === state.lit);
  });
}

/** Hides the parts about the full results while a filter is active, and shows only the group of the chosen task. */
function showWholes() {
  document.querySelectorAll(".whole").forEach((place) => {
    place.hidden = isFiltered();
  });
  document.querySelectorAll(".note.stale").forEach((note) => {
    note.hidden = !isFiltered();
  });
  const task = chosenTask();
  document.querySelectorAll(".group").forEach((group) => {
    const own = {
      problem: group.dataset.problem,
      batch_size: group.dataset.batchSize,
      device: group.dataset.device,
      schedule: group.dataset.schedule,
    };
    group.hidden = !task || GROUP.some((name) => own[name] !== String(task[name]));
    if (group.hidden) return;
    group.querySelector(".pool").hidden = state.optimizer.length > 0;
    group.querySelector(".against").textContent = against(task);
    renumber(group.querySelector("table"));
  });
}

/** The verdicts on a task against the chosen reference, in words. */
function against(task) {
  const family = rowsOf("verdicts_by_reference").filter(
    (row) => row.reference === state.reference && taskOf(row) === taskOf(task),
  );
  const rows = family.filter((row) => passes(row));
  if (!rows.length) return "";
  const tested = family.filter((row) => row.p_holm !== null).length;
  const comparisons = `${tested} comparison${tested === 1 ? "" : "s"}`;
  const parts = ["win", "loss", "tie", "inconclusive"].flatMap((verdict) => {
    const names = rows.filter((row) => row.verdict === verdict).map((row) => row.optimizer);
    return names.length ? [sentence(verdict, { names: inWords(names) })] : [];
  });
  const small = rows.filter((row) => row.note.startsWith(sentence("small_note", {}))).map((row) => row.optimizer);
  if (small.length) parts.push(sentence("small", { names: inWords(small) }));
  const helped = rows.filter((row) => row.note.includes(sentence("length_note", {}))).map((row) => row.optimizer);
  if (helped.length) parts.push(sentence("length", { names: inWords(helped) }));
  return [sentence("against", { reference: state.reference, comparisons }), ...parts].join(" ");
}

/** Renumbers the ranks of a table among its visible rows. */
function renumber(table) {
  const place = [...table.tHead.rows[0].cells].findIndex((head) => head.dataset.column === "rank");
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) row.cells[place].dataset.all ??= row.cells[place].dataset.v ?? "";
  const shown = rows.filter((row) => !row.hidden && row.cells[place].dataset.all !== "");
  for (const row of shown) {
    const rank =
      1 + shown.filter((other) => Number(other.cells[place].dataset.all) < Number(row.cells[place].dataset.all)).length;
    row.cells[place].dataset.v = rank;
    row.cells[place].textContent = rank;
  }
}

function setUp() {
  setUpTheme();
  document.querySelectorAll("main table.sortable").forEach((table) => {
    originals.set(table, [...table.tBodies[0].rows]);
    makeSortable(table);
  });
  document.querySelectorAll("#failures, #audit").forEach((table) => {
    if (table.rows.length > 15) table.closest(".scroll").classList.add("tall");
  });
  setUpDownloads();
  setUpFigures();
  const showBar = setUpBar();
  const showSlider = setUpSlider();
  const contents = (changed) => FILTERS.some((name) => changed.has(name)) || changed.has("reference");
  const show = (changed) => {
    const first = changed.has("first");
    if (changed.size === 1 && changed.has("section")) return;
    showBar();
    if (changed.size === 1 && changed.has("step")) {
      showSlider();
      const figure = document.querySelector('figure[data-figure="paths"]');
      drawSafely(figure);
      return;
    }
    if (changed.size === 1 && changed.has("sort")) return void showSorting();
    if (first ? isFiltered() || state.reference !== DEFAULTS.reference : contents(changed)) {
      showStandings();
      showImprovements();
    }
    showSpeedups();
    filterRows();
    showPickers();
    showSlider();
    showWholes();
    showSorting();
    showLit();
    redraw();
  };
  listeners.push(show);
  show(new Set(["first"]));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link) return;
    const target = document.getElementById(link.hash.slice(1));
    if (!target) return;
    event.preventDefault();
    change({ section: target.id });
    target.scrollIntoView();
    target.setAttribute("tabindex", "-1");
    target.focus({ preventScroll: true });
  });
  setUpPrinting();
  setUpIdleDrawing();
  document.documentElement.dataset.ready = ""; // from here on sections have a height before they are laid out
  arrive();
}

setUp();
