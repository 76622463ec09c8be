// The column beside the image: images, lesions and what is said of them.

export const byId = (id) => document.getElementById(id);

export function made(tag, text = "", more = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(more)) element.setAttribute(name, value);
  return element;
}

// New children, with the focus where it was: on the button of the same place.
function replace(list, children) {
  const place = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...children);
  if (place >= 0) list.querySelectorAll("button")[place]?.focus();
}

const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

export function sizeText(lesion) {
  if (lesion.long_axis_mm === null) return `${lesion.long_axis_px.toFixed(0)} × ${lesion.short_axis_px.toFixed(0)} px`;
  return `${lesion.long_axis_mm.toFixed(1)} × ${lesion.short_axis_mm.toFixed(1)} mm`;
}

const areaText = (x) => (x.area_mm2 === null ? `${x.area_px} px` : `${x.area_mm2.toFixed(0)} mm²`);
const lengthText = (x, name) => (x[`${name}_mm`] === null ? `${x[`${name}_px`].toFixed(0)} px` : `${x[`${name}_mm`].toFixed(1)} mm`);

export function summary({ lesions, mask }) {
  const by = mask.edited ? "Corrected" : "Found";
  if (!lesions.length) return mask.edited ? "Corrected: no lesion." : "No lesion found.";
  const all = lesions.map((lesion) => sizeText(lesion)).join("; ");
  return `${by}: ${lesions.length} ${lesions.length === 1 ? "lesion" : "lesions"}, ${all}.`;
}

export function showLesions(at, picked, pick) {
  const rows = (at?.lesions ?? []).map((lesion, n) => {
    const row = made("tr"), number = made("button", String(lesion.label), { type: "button", "aria-pressed": n === picked, "aria-label": `Lesion ${lesion.label}, details` });
    number.addEventListener("click", () => pick(n));
    const cells = [sizeText(lesion), areaText(lesion), lengthText(lesion, "depth"), fixed(lesion.confidence, 2)];
    row.append(made("td"), ...cells.map((text) => made("td", text)));
    row.firstChild.append(number);
    row.classList.toggle("picked", n === picked);
    return row;
  });
  replace(byId("lesions"), rows);
  byId("none").hidden = rows.length > 0;
  byId("none").textContent = at ? (at.mask.edited ? "No lesion is drawn." : "No lesion found.") : "No image is open.";
  showDetails(at?.lesions[picked]);
  showOrigin(at);
}

function showDetails(lesion) {
  const list = byId("details");
  list.hidden = !lesion;
  if (!lesion) return;
  const facts = [
    ["Perimeter", lengthText(lesion, "perimeter")], ["Circularity", fixed(lesion.circularity, 2)],
    ["Taller than wide", lesion.taller_than_wide ? "yes" : "no"], ["Solidity", fixed(lesion.solidity, 2)],
  ];
  list.replaceChildren(...facts.flatMap(([name, value]) => [made("dt", name), made("dd", value)]));
}

function showOrigin(at) {
  const tag = byId("origin"), flag = byId("review"), note = byId("scale-note");
  tag.hidden = !at;
  flag.hidden = !(at?.record.needs_review && !at.mask.edited);
  note.textContent = "";
  if (!at) return;
  tag.textContent = at.mask.edited ? "corrected by you" : "by the network";
  const why = at.record.review ?? [];
  flag.textContent = ["Needs review", why.join("; ")].filter(Boolean).join(": ");
  const known = at.record.scans.filter((scan) => scan.spacing_mm);
  if (!known.length) note.textContent = `Lengths are in pixels: ${at.record.scans[0].why_no_spacing || "the file tells no scale"}.`;
  else note.textContent = `Scale: ${known[0].spacing_mm.map((mm) => mm.toPrecision(3)).join(" × ")} mm per pixel${at.record.spacing_source ? `, from ${at.record.spacing_source}` : ""}.`;
}

export function showCases(cases, open, choose) {
  replace(byId("cases"), cases.map((one) => {
    const item = made("li"), button = made("button", "", { type: "button", "aria-current": one === open });
    const state = { waiting: "waits", working: "working", failed: "failed", done: one.cine ? `${one.frames} frames` : one.found.get(0)?.mask.edited ? "corrected" : "" }[one.state];
    button.append(made("span", one.name), made("span", state, one.state === "failed" ? { class: "bad" } : {}));
    button.addEventListener("click", () => choose(one));
    item.append(button);
    return item;
  }));
}

export function showMaps(names, chosen) {
  const options = [["", names.length ? "off" : "not told"], ...names.map((name) => [name, name])];
  byId("map").replaceChildren(...options.map(([value, text]) => made("option", text, { value })));
  byId("map").value = names.includes(chosen) ? chosen : "";
  byId("map").disabled = !names.length;
}
