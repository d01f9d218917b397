// Downloads: every table as a file, made from the data of the page.

const TYPES = { csv: ["text/csv", csv], json: ["application/json", json] };

let packedTables = null;

/** Downloads a table in full. Tables that no figure needs are unpacked first. */
async function downloadTable(name, suffix) {
  if (!(name in frames)) packedTables ??= unpacked("packed-tables").then((content) => content.json());
  const frame = frames[name] ?? new Frame((await packedTables)[name]);
  const [type, write] = TYPES[suffix];
  download(`${data.about.name}-${name}.${suffix}`, write(frame.names, frame.records()), type);
}

function setUpDownloads() {
  const names = [...Object.keys(frames), ...data.about.packed].sort();
  const missing = data.about.left_out;
  const button = (name, suffix) =>
    element(
      "button",
      { type: "button", "data-download": name, "data-as": suffix, "aria-label": `${name} as ${suffix.toUpperCase()}` },
      suffix,
    );
  document
    .getElementById("downloads")
    .append(
      element(
        "p",
        {},
        "Every table in full, with all digits. The file docs/methodology.md of optbench defines the columns.",
        missing.length
          ? ` Too large for this page: ${inWords(missing)}; see the folder tables of the results directory.`
          : "",
      ),
      element(
        "ul",
        {},
        ...names.map((name) => element("li", {}, button(name, "csv"), " ", button(name, "json"), ` ${name}`)),
      ),
    );
  document.addEventListener("click", (event) => {
    const clicked = event.target.closest?.("[data-download]");
    if (clicked && names.includes(clicked.dataset.download))
      downloadTable(clicked.dataset.download, clicked.dataset.as);
  });
  document.querySelectorAll("[data-download]").forEach((one) => {
    if (!names.includes(one.dataset.download)) one.closest(".tools").hidden = true;
  });
  document.querySelectorAll("[data-matrix]").forEach((place) => {
    const id = place.dataset.matrix;
    place.append(
      element(
        "button",
        {
          type: "button",
          class: "svg",
          onclick: () =>
            download(`${data.about.name}-${id}.svg`, matrixSvg(document.getElementById(id)), "image/svg+xml"),
        },
        "SVG",
      ),
      ...downloadButtons(`${data.about.name}-${id}`, () => matrixRows(id)),
    );
  });
}
