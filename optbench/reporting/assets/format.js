// Numbers as text, by the same rules as the tables (optbench/formatting.py), and elements of the page.

/** A number to some significant digits, with thousands separated; `trim` drops trailing zeros. Missing is a dash. */
function significant(value, digits = 4, trim = false) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value !== "number") return String(value);
  if (value === Infinity) return "∞";
  if (value === -Infinity) return "−∞";
  if (value === 0) return "0";
  const short = (text) => (trim && text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text);
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 7) {
    const [whole, rest] = value.toFixed(Math.max(digits - 1 - exponent, 0)).split(".");
    return short(whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",") + (rest ? `.${rest}` : ""));
  }
  const sign = exponent < 0 ? "-" : "+";
  return `${short(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** Columns of whole numbers: in the page's data, 3 and 3.0 are the same. */
const COUNTS = new RegExp(
  "^(rank|wins|ties|losses|inconclusive|failed(_runs|_cells)?|audit|n_.*|k|trial|trials|seeds?|units|tasks|" +
    "batch_size|steps?|cost|more_seeds|units_left_out)$",
);
const whole = (value) => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");

/** A value as text, with the digits that its column requires. */
function cellText(column, value) {
  if (typeof value !== "number" || Number.isNaN(value)) return significant(value);
  if (column === "lr" || /^(lr_|hp_)/.test(column)) return significant(value, 3, true);
  if (column.endsWith("_ms")) return significant(value, 3);
  if (column === "target_reached") return `${Math.round(100 * value)} %`;
  if (column.endsWith("_rank")) return value.toFixed(2);
  if (/^cost|_cost$|_budget$/.test(column)) {
    const size = Math.abs(value);
    return significant(size >= 1000 && size < Infinity ? Math.round(value) : value, 4, !(size >= 1000));
  }
  return COUNTS.test(column) && Number.isInteger(value) ? whole(value) : significant(value);
}

/** A value as text with its interval, if it has one. */
function withInterval(value, low, high, digits = 3) {
  const text = significant(value, digits);
  return low === null || low === undefined
    ? text
    : `${text} [${significant(low, digits)}, ${significant(high, digits)}]`;
}

/** A list in words: `a`, `a and b`, `a, b and c`. */
function inWords(names) {
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names.join("");
}

/** A sentence that the page shares with its scripts, with values for its `{…}`. */
function sentence(name, values = {}) {
  return data.texts[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** Text escaped for markup. */
function escaped(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Text with optional line breaks between the parts of a long label, as a list of nodes. */
function breakable(text) {
  return String(text)
    .split(/(?<=,)(?=[^\W\d])|(?=\[)/u)
    .flatMap((part, place) => (place ? [document.createElement("wbr"), part] : [part]));
}

/** An element with attributes and children; texts are inserted as text, never as markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
