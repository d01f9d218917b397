// The data of the page: frames by columns (see optbench/reporting/payload.py), parsed once.

/** A frame with `rows` and `names`; its columns are available as arrays, its rows as objects. */
class Frame {
  constructor(stored) {
    this.rows = stored.rows;
    this.stored = stored.columns;
    this.names = Object.keys(stored.columns);
    this.columns = {};
  }

  column(name) {
    if (!(name in this.columns)) {
      const { all, of, at, is } = this.stored[name] ?? { all: null };
      this.columns[name] =
        is ?? (of ? at.map((place) => (place < 0 ? null : of[place])) : new Array(this.rows).fill(all ?? null));
    }
    return this.columns[name];
  }

  records() {
    if (!this.known) {
      const columns = this.names.map((name) => this.column(name));
      this.known = Array.from({ length: this.rows }, (_, row) =>
        Object.fromEntries(this.names.map((name, place) => [name, columns[place][row]])),
      );
    }
    return this.known;
  }
}

const data = JSON.parse(document.getElementById("data").textContent);
const frames = Object.fromEntries(Object.entries(data.frames).map(([name, stored]) => [name, new Frame(stored)]));
const GROUP = ["problem", "batch_size", "device", "schedule"];

/** The rows of a frame; none if the page does not have it. */
function rowsOf(name) {
  return name in frames ? frames[name].records() : [];
}

/** The rows grouped by a key, as a map. */
function grouped(rows, key) {
  const groups = new Map();
  for (const row of rows) {
    const own = key(row);
    if (!groups.has(own)) groups.set(own, []);
    groups.get(own).push(row);
  }
  return groups;
}

const taskOf = (row) => GROUP.map((name) => row[name]).join("\u0000");
const distinct = (rows, name) => [...new Set(rows.map((row) => row[name]))];

const OPTIMIZERS = Object.keys(data.looks);
const lookOf = (name) => data.looks[name] ?? { color: "#1f2328", dash: "solid", marker: "circle" };

/** Unpacks gzip in base64 from an element of the page, as a response. Throws if the browser cannot unpack it. */
async function unpacked(id) {
  const packed = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(packed.length);
  for (let place = 0; place < packed.length; place += 1) bytes[place] = packed.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream);
}
