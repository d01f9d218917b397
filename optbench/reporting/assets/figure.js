// Shared parts of all figures. A figure is drawn when it comes into view, and again when the choices change.

const [INK, PAPER, GRID] = ["#1f2328", "#fefffe", "#d3d7dc"];
const CONFIG = { displayModeBar: false, showTips: false };

/** Figures by name: functions that return {traces, layout, columns, rows, summary, note, empty} for the choices. */
const FIGURES = {};
const drawn = new Map();
let plotly = null;

/** The library, unpacked when it is first needed. With its own address, browsers parse it in parallel to the page. */
function loadPlotly() {
  plotly ??= unpacked("packed-plotly")
    .then((content) => content.blob())
    .then(
      (content) =>
        new Promise((loaded, failed) => {
          const script = element("script", { src: URL.createObjectURL(content) });
          script.onload = () => loaded(window.Plotly);
          script.onerror = failed;
          document.head.append(script);
        }),
    );
  return plotly;
}

const axis = (title, more = {}) => ({
  title: { text: title, standoff: 10, font: { size: 12.5 } },
  gridcolor: GRID,
  linecolor: GRID,
  zeroline: false,
  showline: true,
  ticks: "outside",
  ticklen: 4,
  tickcolor: GRID,
  ...more,
});

/** A logarithmic axis with ticks at round numbers, or at decades if it is long. */
function logAxis(title, values, { range, ...more } = {}) {
  const known = values.filter((value) => value > 0 && value < Infinity);
  const [low, high] =
    range ?? (known.length ? [Math.log10(Math.min(...known)), Math.log10(Math.max(...known))] : [0, 1]);
  const margin = 0.04 * (high - low || 1);
  const span = high - low;
  const factors = span > 3 ? [1] : span > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 6, 8];
  const step = Math.max(1, Math.ceil(span / 7));
  const tickvals = [];
  for (let decade = Math.floor(low) - 1; decade <= high; decade += 1) {
    if (factors.length === 1 && decade % step) continue;
    tickvals.push(...factors.map((factor) => Number(`${factor}e${decade}`)));
  }
  const shown = tickvals.filter((value) => Math.log10(value) >= low - margin && Math.log10(value) <= high + margin);
  return axis(title, {
    type: "log",
    range: [low - margin, high + margin],
    tickmode: "array",
    tickvals: shown,
    ticktext: shown.map(plain),
    ...more,
  });
}

/** The label of a tick as plain text: 0.01, 20, 1e-5. */
function plain(value) {
  const size = Math.abs(value);
  return size === 0 || (size >= 1e-3 && size < 1e5)
    ? String(Number(value.toPrecision(6)))
    : value.toExponential().replace("e+", "e");
}

function layoutOf(own) {
  return {
    font: { family: "system-ui, sans-serif", size: 12, color: INK },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 64, r: 16, t: 12, b: 48 },
    showlegend: false,
    hovermode: "closest",
    dragmode: false,
    hoverlabel: { bgcolor: PAPER, bordercolor: GRID, font: { color: INK, size: 12 }, align: "left", namelength: 0 },
    ...own,
  };
}

/** The margin that labels of an axis need. */
const roomFor = (labels) => 18 + 7.6 * Math.max(...labels.map((label) => label.length), 3);

/** The opacity of the marks of an optimizer: while another one is highlighted, they are faint. */
const emphasis = (name, usual = 1) => (!state.lit || state.lit === name ? usual : 0.14 * usual);

/** A line of an optimizer, in its colour, dash and marker. */
function lineOf(name, x, y, more = {}) {
  const look = lookOf(name);
  const { line = {}, marker = {}, ...rest } = more;
  return {
    type: "scatter",
    mode: "lines",
    name,
    x,
    y,
    opacity: emphasis(name),
    hoverinfo: "text",
    line: { color: look.color, dash: look.dash, width: state.lit === name ? 3 : 1.9, ...line },
    marker: { color: look.color, symbol: look.marker, size: 7, opacity: 1, ...marker },
    ...rest,
  };
}

/** The text of a hover label, line by line. */
const hover = (...lines) => lines.join("<br>");

const bold = (name) => `<b>${escaped(name)}</b>`;

/** Draws a figure for the present choices, unless an earlier call in the queue has done so. */
async function draw(figure) {
  const known = drawn.get(figure);
  if (!known.dirty) return;
  known.dirty = false;
  known.spec = null;
  const spec = FIGURES[figure.dataset.figure]();
  known.spec = spec;
  const plot = figure.querySelector(".plot");
  showNote(figure, spec.note);
  showData(figure);
  if (known.fixed) return void fallBack(figure);
  plot.classList.toggle("empty", Boolean(spec.empty));
  // How to read a figure that is not there would be a false caption.
  plot.closest("figure").querySelector("figcaption").hidden = Boolean(spec.empty);
  if (spec.empty) {
    plot.classList.remove("waiting");
    if (known.plotted) window.Plotly.purge(plot);
    known.plotted = false;
    plot.textContent = spec.empty;
    plot.removeAttribute("role");
    plot.removeAttribute("aria-label");
    return;
  }
  const library = await loadPlotly().catch(() => null);
  if (!library) return void fallBack(figure);
  if (!known.plotted) plot.textContent = "";
  plot.style.height = spec.height ? `${spec.height}px` : "";
  await library.react(plot, spec.traces, { ...layoutOf(spec.layout), ...sizeOf(plot) }, CONFIG);
  if (!known.plotted) listenToSelections(plot, known);
  known.plotted = true;
  if (!known.dirty) plot.classList.remove("waiting");
  plot.setAttribute("role", "img");
  plot.setAttribute(
    "aria-label",
    `${figure.querySelector("h3").textContent}. ${spec.summary ?? ""} The numbers are in the table below.`,
  );
}

/** Lets a figure with `select` follow the boxes that the reader draws; a double click calls `unselect`. */
function listenToSelections(plot, known) {
  plot.on("plotly_selected", (event) => event?.range && known.spec?.select?.(event.range));
  plot.on("plotly_deselect", () => known.spec?.unselect?.());
}

/** Shows the note of a figure; an empty text hides it. */
function showNote(figure, text) {
  const note = figure.querySelector(".note");
  note.hidden = !text;
  note.textContent = text ?? "";
}

/** Shows the data of a figure as a table, if the reader has opened it. */
function showData(figure) {
  const details = figure.querySelector("details.data");
  if (!details.open) return;
  const { spec } = drawn.get(figure);
  if (!spec) return details.querySelector("div").replaceChildren();
  const { columns, rows } = spec;
  const title = figure.querySelector("h3").textContent;
  const names = columns.map(([name]) => name);
  details
    .querySelector("div")
    .replaceChildren(
      tableOf(title, columns, rows),
      element(
        "p",
        { class: "tools" },
        ...downloadButtons(`${data.about.name}-${figure.dataset.figure}`, () => [names, rows]),
      ),
    );
}

/** Downloads a figure as an SVG file, on white, with its legend. */
async function saveSvg(figure) {
  const { spec } = drawn.get(figure);
  if (!spec || spec.empty) return;
  const library = await loadPlotly();
  const layout = {
    ...layoutOf(spec.layout),
    showlegend: true,
    paper_bgcolor: "#fff",
    plot_bgcolor: "#fff",
    title: { text: escaped(figure.querySelector("h3").textContent), font: { size: 14 }, x: 0.02 },
    margin: { l: 64, r: 16, t: 44, b: 48 },
  };
  const named = new Set();
  const traces = spec.traces.map((trace) => {
    const first = trace.name && !named.has(trace.name);
    named.add(trace.name);
    return { ...trace, name: escaped(trace.name ?? ""), showlegend: Boolean(first) };
  });
  const address = await library.toImage(
    { data: traces, layout },
    { format: "svg", width: 900, height: spec.height ?? 480 },
  );
  download(
    `${data.about.name}-${figure.dataset.figure}.svg`,
    decodeURIComponent(address.slice(address.indexOf(",") + 1)),
    "image/svg+xml",
  );
}

/** Replaces a figure that cannot be drawn, for example because the browser cannot unpack the library, by its static
 * form, which shows the full results. Its data table still follows the selection if the data could be computed. */
function fallBack(figure) {
  const known = drawn.get(figure);
  const plot = figure.querySelector(".plot");
  if (!known.fixed) plot.innerHTML = figure.querySelector("noscript").textContent;
  known.fixed = true;
  plot.classList.add("fixed", "static");
  plot.classList.remove("waiting", "empty");
  plot.hidden = isFiltered();
  showNote(
    figure,
    noteOf(
      isFiltered() ? "The static figure shows the full results and is hidden while a filter is active." : "",
      known.spec?.note,
    ),
  );
  showData(figure);
  figure.querySelector("button.svg").hidden = true;
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      drawn.get(target).near = isIntersecting;
      target.classList.toggle("near", isIntersecting);
      if (isIntersecting && drawn.get(target).dirty) drawSafely(target);
    }
  },
  { rootMargin: "400px" },
);

function drawSafely(figure) {
  drawn.get(figure).dirty = true;
  return inTurn(figure, () => draw(figure)).catch((error) => {
    console.error(error);
    fallBack(figure);
  });
}

/** Runs one action on a figure after the other, because plotly fails on a figure that it is still drawing. On an idle
 * figure the action starts at once, because a browser prints without waiting. */
function inTurn(figure, act) {
  const known = drawn.get(figure);
  const result = known.turn ? known.turn.then(act) : act();
  const turn = result
    .catch(() => {})
    .then(() => {
      if (known.turn === turn) known.turn = null;
    });
  known.turn = turn;
  return result;
}

/** Prepares the figures of the page. */
function setUpFigures() {
  for (const figure of document.querySelectorAll("figure[data-figure]")) {
    drawn.set(figure, { dirty: true, near: false });
    figure.querySelector("button.svg").addEventListener("click", () => saveSvg(figure));
    figure.querySelector("details.data").addEventListener("toggle", () => showData(figure));
    near.observe(figure);
  }
  // Only the width counts: on phones, the browser's bar comes and goes and changes the height.
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width && !printing) redraw();
    width = window.innerWidth;
  });
}

/** Redraws the figures in view, and the others when the browser is idle or about to print; they are hidden until then.
 * Only then are sections far from view laid out (see `busy` in style.css). */
function redraw() {
  document.documentElement.classList.add("busy");
  for (const [figure, known] of drawn) {
    known.dirty = true;
    figure.querySelector(".plot").classList.add("waiting");
  }
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      drawInView();
      drawIdly();
    }),
  );
}

/** Draws one figure per frame. The first one comes a frame after the tables, so that these appear without delay. */
async function drawInView() {
  const next = [...drawn].find(([, known]) => known.near && known.dirty);
  if (!next) return;
  await drawSafely(next[0]);
  requestAnimationFrame(() => setTimeout(drawInView));
}

/** Redraws the figures to fit on paper, which is narrower than most windows, and afterwards to fit the window. */
function setUpPrinting() {
  window.addEventListener("beforeprint", () => {
    printing = true;
    for (const figure of drawn.keys()) drawSafely(figure);
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    redraw();
  });
}

let printing = false;

/** The size of a figure: that of its place on the page, limited to the width of paper while printing. */
function sizeOf(plot) {
  return {
    width: printing ? Math.min(plot.clientWidth, 660) : plot.clientWidth,
    height: plot.clientHeight,
    autosize: false,
  };
}

const idle = (act) => (window.requestIdleCallback ? requestIdleCallback(act, { timeout: 500 }) : setTimeout(act, 50));
let waiting = true;

/** Starts to draw the figures that are not in view, after a delay during which the page responds at once. */
function setUpIdleDrawing() {
  setTimeout(() => {
    waiting = false;
    drawIdly();
  }, 800);
}

function drawIdly() {
  if (waiting) return;
  waiting = true;
  idle(async () => {
    waiting = false;
    document.documentElement.classList.remove("busy");
    const next = [...drawn].find(([, known]) => known.dirty);
    if (!next) return;
    await drawSafely(next[0]);
    drawIdly();
  });
}
