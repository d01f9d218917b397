// Every table as a file, made from what the page holds.

const TYPES = { csv: ["text/csv", csv], json: ["application/json", json] };

let packedTables = null;

/** Hands over a table in full; those that no figure needs are unpacked first. */
async function give(name, suffix) {
  if (!(name in frames)) packedTables ??= unpacked("packed-tables").then((content) => content.json());
  const frame = frames[name] ?? new Frame((await packedTables)[name]);
  const [type, write] = TYPES[suffix];
  download(`${data.about.name}-${name}.${suffix}`, write(frame.names, frame.records()), type);
}

function setUpDownloads() {
  const names = [...Object.keys(frames), ...data.about.packed].sort();
  const missing = data.about.left_out;
  const button = (name, suffix) => element("button", { type: "button", "data-download": name, "data-as": suffix, "aria-label": `${name} as ${suffix.toUpperCase()}` }, suffix);
  document.getElementById("downloads").append(
    element("p", {}, "Every table in full, with all digits; what the columns mean is in docs/methodology.md of optbench.",
      missing.length ? ` Too large for this page: ${joined(missing)}; they are beside the results, in the folder tables.` : ""),
    element("ul", {}, ...names.map((name) => element("li", {}, button(name, "csv"), " ", button(name, "json"), ` ${name}`))),
  );
  document.addEventListener("click", (event) => {
    const asked = event.target.closest?.("[data-download]");
    if (asked && names.includes(asked.dataset.download)) give(asked.dataset.download, asked.dataset.as);
  });
  document.querySelectorAll("[data-download]").forEach((asked) => {
    if (!names.includes(asked.dataset.download)) asked.closest(".tools").hidden = true;
  });
  document.querySelectorAll("[data-matrix]").forEach((place) => {
    const id = place.dataset.matrix;
    place.append(element("button", { type: "button", class: "svg", onclick: () => download(`${data.about.name}-${id}.svg`, matrixSvg(document.getElementById(id)), "image/svg+xml") }, "SVG"),
      ...downloadButtons(`${data.about.name}-${id}`, () => matrixRows(id)));
  });
}
