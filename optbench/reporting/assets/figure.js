// What all figures share: they are drawn when they come into view, and again when a choice concerns them.

const [INK, PAPER, GRID] = ["#1f2328", "#fefffe", "#d3d7dc"];
const CONFIG = { displayModeBar: false, showTips: false };

/** Figures by name: a function of the choices that gives {traces, layout, columns, rows, summary, note, empty}. */
const FIGURES = {};
const drawn = new Map();
let plotly = null;

/** The library, unpacked when it is first needed; from an address of its own, as browsers then parse it beside the page. */
function loadPlotly() {
  plotly ??= unpacked("packed-plotly").then((content) => content.blob()).then((content) => new Promise((loaded, failed) => {
    const script = element("script", { src: URL.createObjectURL(content) });
    script.onload = () => loaded(window.Plotly);
    script.onerror = failed;
    document.head.append(script);
  }));
  return plotly;
}

const axis = (title, more = {}) => ({
  title: { text: title, standoff: 10, font: { size: 12.5 } }, gridcolor: GRID, linecolor: GRID, zeroline: false, showline: true,
  ticks: "outside", ticklen: 4, tickcolor: GRID, ...more,
});

/** An axis of positive numbers: logarithmic, with ticks at round ones, by decades where it is long. */
function logAxis(title, values, { range, ...more } = {}) {
  const known = values.filter((value) => value > 0 && value < Infinity);
  const [low, high] = range ?? (known.length ? [Math.log10(Math.min(...known)), Math.log10(Math.max(...known))] : [0, 1]);
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
  return axis(title, { type: "log", range: [low - margin, high + margin], tickmode: "array", tickvals: shown, ticktext: shown.map(plain), ...more });
}

/** A tick's number as plain text: 0.01, 20, 1e-5. */
function plain(value) {
  const size = Math.abs(value);
  return size === 0 || (size >= 1e-3 && size < 1e5) ? String(Number(value.toPrecision(6))) : value.toExponential().replace("e+", "e");
}

function layoutOf(own) {
  return {
    font: { family: "system-ui, sans-serif", size: 12, color: INK }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 64, r: 16, t: 12, b: 48 }, showlegend: false, hovermode: "closest", dragmode: false,
    hoverlabel: { bgcolor: PAPER, bordercolor: GRID, font: { color: INK, size: 12 }, align: "left", namelength: 0 }, ...own,
  };
}

/** The margin that labels of an axis need. */
const roomFor = (labels) => 18 + 7.6 * Math.max(...labels.map((label) => label.length), 3);

/** The opacity of an optimizer's marks: others step back while one is highlighted. */
const emphasis = (name, usual = 1) => (!state.lit || state.lit === name ? usual : 0.14 * usual);

/** A line of an optimizer in its look. */
function lineOf(name, x, y, more = {}) {
  const look = lookOf(name);
  const { line = {}, marker = {}, ...rest } = more;
  return {
    type: "scatter", mode: "lines", name, x, y, opacity: emphasis(name), hoverinfo: "text",
    line: { color: look.color, dash: look.dash, width: state.lit === name ? 3 : 1.9, ...line },
    marker: { color: look.color, symbol: look.marker, size: 7, opacity: 1, ...marker }, ...rest,
  };
}

const bold = (name) => `<b>${escaped(name)}</b>`;

/** Draws a figure as the choices have it, unless one that waited for the same turn has. */
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
  known.plotted = true;
  if (!known.dirty) plot.classList.remove("waiting");
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `${figure.querySelector("h3").textContent}. ${spec.summary ?? ""} The numbers are in the table below.`);
}

/** What is to be known of a figure besides; nothing hides it. */
function showNote(figure, text) {
  const note = figure.querySelector(".note");
  note.hidden = !text;
  note.textContent = text ?? "";
}

/** The data of a figure as a table, made when it is opened. */
function showData(figure) {
  const details = figure.querySelector("details.data");
  if (!details.open) return;
  const { spec } = drawn.get(figure);
  if (!spec) return details.querySelector("div").replaceChildren();
  const { columns, rows } = spec;
  const title = figure.querySelector("h3").textContent;
  const names = columns.map(([name]) => name);
  details.querySelector("div").replaceChildren(
    tableOf(title, columns, rows),
    element("p", { class: "tools" }, ...downloadButtons(`${data.about.name}-${figure.dataset.figure}`, () => [names, rows])),
  );
}

/** A figure as an SVG file, on white, with its legend. */
async function saveSvg(figure) {
  const { spec } = drawn.get(figure);
  if (!spec || spec.empty) return;
  const library = await loadPlotly();
  const layout = { ...layoutOf(spec.layout), showlegend: true, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
    title: { text: escaped(figure.querySelector("h3").textContent), font: { size: 14 }, x: 0.02 }, margin: { l: 64, r: 16, t: 44, b: 48 } };
  const named = new Set();
  const traces = spec.traces.map((trace) => {
    const first = trace.name && !named.has(trace.name);
    named.add(trace.name);
    return { ...trace, name: escaped(trace.name ?? ""), showlegend: Boolean(first) };
  });
  const address = await library.toImage({ data: traces, layout }, { format: "svg", width: 900, height: spec.height ?? 480 });
  download(`${data.about.name}-${figure.dataset.figure}.svg`, decodeURIComponent(address.slice(address.indexOf(",") + 1)), "image/svg+xml");
}

/** In place of a figure that can't be drawn (the browser can't unpack the library, say) its fixed form, which is about
 * everything; its data are those of the selection, where they could be computed. */
function fallBack(figure) {
  const known = drawn.get(figure);
  const plot = figure.querySelector(".plot");
  if (!known.fixed) plot.innerHTML = figure.querySelector("noscript").textContent;
  known.fixed = true;
  plot.classList.add("fixed", "static");
  plot.classList.remove("waiting", "empty");
  plot.hidden = isFiltered();
  showNote(figure, noteOf(isFiltered() ? "The picture is about everything that was run, and is not shown for a selection." : "", known.spec?.note));
  showData(figure);
  figure.querySelector("button.svg").hidden = true;
}

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    drawn.get(target).near = isIntersecting;
    target.classList.toggle("near", isIntersecting);
    if (isIntersecting && drawn.get(target).dirty) drawSafely(target);
  }
}, { rootMargin: "400px" });

function drawSafely(figure) {
  drawn.get(figure).dirty = true;
  return inTurn(figure, () => draw(figure)).catch((error) => {
    console.error(error);
    fallBack(figure);
  });
}

/** One thing after the other: plotly fails on a figure that it is still at. At once where it is idle: a browser prints
 * without waiting. */
function inTurn(figure, act) {
  const known = drawn.get(figure);
  const result = known.turn ? known.turn.then(act) : act();
  const turn = result.catch(() => {}).then(() => {
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
  // The bar of a phone's browser that comes and goes changes the height alone.
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width && !printing) redraw();
    width = window.innerWidth;
  });
}

/** Draws anew what is in view, and the rest when the browser has time (or is about to print), hidden until then; only
 * then, too, is what is far from view laid out (see `busy` in style.css). */
function redraw() {
  document.documentElement.classList.add("busy");
  for (const [figure, known] of drawn) {
    known.dirty = true;
    figure.querySelector(".plot").classList.add("waiting");
  }
  requestAnimationFrame(() => requestAnimationFrame(() => {
    drawInView();
    drawIdly();
  }));
}

/** One figure a frame, the first in the one after that of the tables: none keeps a reader waiting for these. */
async function drawInView() {
  const next = [...drawn].find(([, known]) => known.near && known.dirty);
  if (!next) return;
  await drawSafely(next[0]);
  requestAnimationFrame(() => setTimeout(drawInView));
}

/** Paper is narrower than most windows: figures are drawn to fit it, and to fit the window again afterwards. */
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

/** The size of a figure: that of its place, or of what fits on paper. */
function sizeOf(plot) {
  return { width: printing ? Math.min(plot.clientWidth, 660) : plot.clientWidth, height: plot.clientHeight, autosize: false };
}

const idle = (act) => (window.requestIdleCallback ? requestIdleCallback(act, { timeout: 500 }) : setTimeout(act, 50));
let waiting = true;

/** Begins to draw what isn't in view, once a reader has had a moment in which the page answers at once. */
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
