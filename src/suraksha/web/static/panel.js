// The side panel: files, lesions, and the notes on them.

export const byId = (id) => document.getElementById(id);

export function createElement(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// Replace the children of a list. The focus stays on the button at the same position.
function replaceChildren(list, children) {
  const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...children);
  if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
}

const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

// Two digits, but never "1.00" or "0.00" for a confidence that is not certain.
function confidenceText(value) {
  if (value > 0.995 && value < 1) return ">0.99";
  if (value > 0 && value < 0.005) return "<0.01";
  return fixed(value, 2);
}

export function sizeText(lesion) {
  if (lesion.long_axis_mm === null) return `${lesion.long_axis_px.toFixed(0)} × ${lesion.short_axis_px.toFixed(0)} px`;
  return `${lesion.long_axis_mm.toFixed(1)} × ${lesion.short_axis_mm.toFixed(1)} mm`;
}

const areaText = (x) => (x.area_mm2 === null ? `${x.area_px} px` : `${x.area_mm2.toFixed(0)} mm²`);
const lengthText = (x, name) => (x[`${name}_mm`] === null ? `${x[`${name}_px`].toFixed(0)} px` : `${x[`${name}_mm`].toFixed(1)} mm`);

export function summary({ lesions, mask, measured }) {
  if (!measured) return "Corrected: not measured.";
  if (!lesions.length) return mask.edited ? "Corrected: no lesion." : "No lesion found.";
  const sizes = lesions.map((lesion) => sizeText(lesion)).join("; ");
  return `${mask.edited ? "Corrected" : "Found"}: ${lesions.length} ${lesions.length === 1 ? "lesion" : "lesions"}, ${sizes}.`;
}

// Shown in place of the table where it has no rows.
function emptyText(one) {
  const at = one?.current;
  if (!one) return "No image is open.";
  if (one.state === "processing") return "Processing.";
  if (one.state === "failed") return "This file could not be segmented.";
  if (!at) return "Not segmented yet.";
  if (!at.measured) return "The corrected mask could not be measured.";
  return at.mask.edited ? "No lesion drawn." : "No lesion found.";
}

export function showLesions(one, selected, select) {
  const at = one?.current;
  const rows = (at?.lesions ?? []).map((lesion, n) => {
    const row = createElement("tr"), number = createElement("button", String(lesion.label), { type: "button", "aria-pressed": n === selected, "aria-label": `Lesion ${lesion.label}, details` });
    number.addEventListener("click", () => select(n));
    const cells = [sizeText(lesion), areaText(lesion), lengthText(lesion, "depth"), confidenceText(lesion.confidence)];
    row.append(createElement("td"), ...cells.map((text) => createElement("td", text)));
    row.firstChild.append(number);
    row.classList.toggle("selected", n === selected);
    return row;
  });
  replaceChildren(byId("lesions"), rows);
  byId("no-lesions").hidden = rows.length > 0;
  byId("no-lesions").textContent = emptyText(one);
  showDetails(at?.lesions[selected]);
  showNotes(at);
}

function showDetails(lesion) {
  const list = byId("details");
  list.hidden = !lesion;
  if (!lesion) return;
  const facts = [
    ["Perimeter", lengthText(lesion, "perimeter")], ["Circularity", fixed(lesion.circularity, 2)],
    ["Taller than wide", lesion.taller_than_wide ? "yes" : "no"], ["Solidity", fixed(lesion.solidity, 2)],
  ];
  list.replaceChildren(...facts.flatMap(([name, value]) => [createElement("dt", name), createElement("dd", value)]));
}

function showNotes(at) {
  const origin = byId("origin"), review = byId("review");
  origin.hidden = !at;
  review.hidden = !(at?.record.needs_review && !at.mask.edited);
  byId("scale-note").textContent = at ? spacingNote(at.record) : "";
  if (!at) return;
  origin.textContent = at.mask.edited ? "corrected" : "automatic";
  review.textContent = `Review: ${(at.record.review ?? []).join("; ") || "recommended for this image"}`;
}

const SPACING_SOURCES = { user: "entered", "dicom-region": "from the DICOM region", "dicom-pixel-spacing": "from DICOM Pixel Spacing" };

function spacingNote({ scans, spacing_source: source }) {
  const known = scans.filter((scan) => scan.spacing_mm);
  if (!known.length) return `Measurements are in pixels: ${scans[0].why_no_spacing || "the file has no pixel spacing"}.`;
  const sizes = [...new Set(known.map((scan) => scan.spacing_mm.map((mm) => mm.toPrecision(3)).join(" × ")))];
  const from = SPACING_SOURCES[source] ? ` (${SPACING_SOURCES[source]})` : "";
  if (sizes.length > 1) return `Pixel spacing by scan region: ${sizes.join(" mm; ")} mm.`;
  return `Pixel spacing: ${sizes[0]} mm${from}.`;
}

function stateText(one) {
  if (one.state === "done" && one.isClip) return `${one.frames} frames`;
  if (one.state === "done") return one.results.get(0)?.mask.edited ? "corrected" : "";
  return { waiting: "waiting", processing: "processing", failed: "failed" }[one.state];
}

export function showCases(cases, open, choose) {
  replaceChildren(byId("cases"), cases.map((one) => {
    const item = createElement("li"), button = createElement("button", "", { type: "button", "aria-current": one === open });
    button.append(createElement("span", one.name), createElement("span", stateText(one), one.state === "failed" ? { class: "bad" } : {}));
    button.addEventListener("click", () => choose(one));
    item.append(button);
    return item;
  }));
}

const mapLabel = (name) => name.replace(/^skip(\d+)$/, "level $1");

export function showMaps(names, chosen) {
  const options = [["", names.length ? "off" : "not available"], ...names.map((name) => [name, mapLabel(name)])];
  byId("map").replaceChildren(...options.map(([value, text]) => createElement("option", text, { value })));
  byId("map").value = names.includes(chosen) ? chosen : "";
  byId("map").disabled = !names.length;
}
