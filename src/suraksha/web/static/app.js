// The page: opened files are sent to this server, and its results are shown. Everything on the
// screen is derived from the open case by render().

import * as api from "./api.js";
import { Case } from "./cases.js";
import { Cine } from "./cine.js";
import { Keys } from "./keys.js";
import { byId, showCases, showLesions, showMaps, summary } from "./panel.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const NO_CONTENT = { mask: null, contours: [], lesions: [], calipers: [] };
const view = new View(byId("view"));
const cases = [];
const server = { status: "", problem: "" }; // what concerns no case
let open = null, selected = 0, running = 0;

const host = {
  content: () => view.content ?? NO_CONTENT,
  mask: () => open?.current?.mask ?? null,
  distance: (a, b) => open.distance(a, b),
  changed: () => remeasure(),
  measured: (caliper) => showDistance(caliper),
  moved: (position) => { byId("read-out").textContent = position ? readOut(position) : ""; },
  levels: () => showLevels(),
};
const tools = new Tools(view, host);
const cine = new Cine({ show: (frame) => showFrame(frame), settle: () => settle() });

function setStatus(one, text) {
  one.status = text;
  showMessages();
}

// The status and the error of the open case, never of another one.
function showMessages() {
  byId("status").textContent = (open ?? server).status;
  byId("problem").textContent = open?.problem || server.problem;
}

function showLevels() {
  const { width, level } = view.window;
  byId("levels").textContent = view.base ? `W ${width.toFixed(0)}  L ${level.toFixed(0)}` : "";
}

function readOut([row, col]) {
  if (!(row >= 0 && col >= 0 && row < view.rows && col < view.columns)) return "";
  return `row ${Math.floor(row)}, column ${Math.floor(col)}`;
}

function showDistance({ text }) {
  const note = text.endsWith("px") ? " The pixel spacing is unknown, or differs between the two ends." : "";
  if (text) setStatus(open, `Distance: ${text}.${note}`);
  showButtons();
}

// Run a task of a case, or of the server. Its error is shown while that case is open.
async function attempt(one, task) {
  one.problem = "";
  showMessages();
  byId("busy").hidden = ++running === 0;
  try {
    return await task();
  } catch (error) {
    if (error.status === 401) byId("token-box").hidden = false;
    one.problem = error.message.replaceAll("image-1", one.name ?? "image-1"); // the server's name for the file
    return null;
  } finally {
    byId("busy").hidden = --running === 0;
    showMessages();
  }
}

function showButtons() {
  const at = open?.current, mask = at?.mask;
  byId("undo").disabled = !mask?.past.length;
  byId("redo").disabled = !mask?.future.length;
  byId("reset").disabled = !mask?.edited;
  byId("empty-mask").disabled = !mask;
  byId("save-correction").disabled = !mask?.edited;
  byId("clear-calipers").disabled = !at?.calipers.length;
  const dicom = open?.kind === "dicom";
  for (const button of byId("exports").children) button.disabled = !at || (["seg", "sr"].includes(button.dataset.kind) && !dicom);
  byId("dicom-note").hidden = dicom;
}

function render() {
  const at = open?.current;
  view.content = at ?? null;
  if (at) Object.assign(at, { selected, handles: tools.name === "contour" });
  showLesions(open, selected, (n) => { selected = n; render(); });
  showCases(cases, open, openCase);
  showMessages();
  byId("empty").hidden = Boolean(open);
  byId("measurements").setAttribute("aria-busy", Boolean(at?.outdated));
  byId("view").setAttribute("aria-label", open ? `Ultrasound image ${open.name}. ${at ? summary(at) : ""}` : "Ultrasound image");
  showLevels();
  showButtons();
  view.draw();
}

async function showAttention() {
  const one = open, name = byId("map").value;
  const attention = name && one?.current ? await attempt(one, () => one.attention()) : null;
  if (one !== open) return;
  const map = attention?.maps[name];
  await view.setAttention(map ? api.pngBlob(map.png) : null, attention?.box);
}

async function showFrame(frame) {
  if (!open) return;
  open.frame = frame;
  open.problem = "";
  open.status = open.current && !cine.playing ? summary(open.current) : "";
  cine.update(open);
  const blob = open.images[frame];
  if (blob) await view.setImage(blob, true);
  if (view.attention) await view.setAttention(null); // of another frame
  render();
}

// A clip has stopped at a frame: segment it if needed, and show the result.
async function settle() {
  const one = open;
  if (!one) return;
  if (!one.current) await attempt(one, () => one.segment());
  if (one === open) await showResult(one);
}

async function showResult(one) {
  const at = one.current;
  if (!at) { render(); return; }
  one.status = summary(at);
  await view.setImage(one.images[one.frame], true);
  showMaps(one.maps, byId("map").value);
  await showAttention();
  if (one === open) render();
}

// Each case is segmented once; concurrent callers wait for the same request.
function segmentCase(one) {
  return (one.pending ??= segmentNow(one).finally(() => { one.pending = null; }));
}

async function segmentNow(one) {
  one.state = "processing";
  showCases(cases, open, openCase);
  const result = await attempt(one, () => one.segment());
  one.state = result ? "done" : "failed";
  if (one.isClip && !one.loading) {
    one.loading = attempt(one, () => one.load(() => { if (one === open) cine.update(one); }));
  }
}

async function openCase(one) {
  cine.stop();
  open = one;
  selected = 0;
  if (!one.current) view.clear();
  byId("spacing").value = one.spacing;
  cine.open(one);
  render();
  if (one.state !== "done") await segmentCase(one);
  if (one !== open) return;
  cine.open(one);
  if (one.current) { view.fit(); view.setWindow(255, 127.5); }
  await showResult(one);
  view.fit();
  if (one === open && one.current && !one.current.measured) await remeasure();
}

async function addFiles(files) {
  const first = cases.length;
  for (const file of files) cases.push(new Case(file));
  if (cases.length === first) return;
  await openCase(cases[first]);
  for (const one of cases.slice(first + 1)) {
    if (one.state === "waiting") await segmentCase(one);
    showCases(cases, open, openCase);
  }
}

// The mask has changed: until the new measurements arrive, the old ones are marked as outdated.
async function remeasure() {
  const one = open, at = one.current;
  selected = 0;
  at.outdated = (at.outdated ?? 0) + 1;
  one.status = "";
  render();
  await attempt(one, () => one.measure());
  at.outdated -= 1;
  if (at === one.current && !at.outdated) one.status = summary(at);
  if (one === open) render();
}

const actions = {
  undo: () => { if (host.mask()?.undo()) remeasure(); },
  redo: () => { if (host.mask()?.redo()) remeasure(); },
  reset: () => { host.mask()?.reset(); remeasure(); },
  "empty-mask": () => { host.mask()?.clear(); remeasure(); },
  "clear-calipers": () => { open.current.calipers.length = 0; render(); },
  "zoom-in": () => view.zoom(1.3),
  "zoom-out": () => view.zoom(1 / 1.3),
  fit: () => { view.fit(); view.setWindow(255, 127.5); showLevels(); },
  choose: () => byId("files").click(),
  add: () => byId("files").click(),
  "save-correction": () => exportAs("correction"),
  "help-open": () => byId("help").showModal(),
  "spacing-set": () => rescale(),
  "all-frames": () => segmentAllFrames(),
};
for (const [id, run] of Object.entries(actions)) byId(id).addEventListener("click", run);

async function exportAs(kind) {
  const one = open;
  const file = await attempt(one, () => one.export(kind));
  if (!file) return;
  api.save(file.blob, file.name);
  setStatus(one, `Saved ${file.name}.`);
}

async function rescale() {
  const one = open;
  if (!one || !byId("spacing").reportValidity()) return;
  const done = await attempt(one, () => one.rescale(byId("spacing").value));
  if (done && one === open) await showResult(one);
}

async function segmentAllFrames() {
  const one = open;
  cine.stop();
  await one.loading;
  await attempt(one, () => one.segmentAll((n) => setStatus(one, `Segmented ${n} of ${one.frames} frames.`)));
  if (one === open) render();
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.setToken(byId("token").value);
  byId("token-box").hidden = true;
  start();
});
byId("exports").addEventListener("click", (event) => { if (event.target.dataset.kind) exportAs(event.target.dataset.kind); });
byId("files").addEventListener("change", (event) => { addFiles([...event.target.files]); event.target.value = ""; });
byId("map").addEventListener("change", showAttention);
byId("brush").addEventListener("input", (event) => tools.setRadius(Number(event.target.value)));
for (const name of ["maskOpacity", "attentionOpacity"]) {
  byId(name).addEventListener("input", (event) => { view.show[name] = event.target.value / 100; view.draw(); });
}
for (const name of ["contours", "axes"]) {
  byId(name).addEventListener("change", (event) => { view.show[name] = event.target.checked; view.draw(); });
}
for (const radio of document.getElementsByName("tool")) radio.addEventListener("change", () => tools.choose(radio.value));

const field = byId("field");
for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => { event.preventDefault(); field.classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) field.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  field.classList.remove("over");
  addFiles([...event.dataTransfer.files]);
});
new Keys(tools, view, { actions, cine, render, showAttention });

async function start() {
  const info = await attempt(server, api.about);
  if (!info) return;
  const storage = info.keeps ? "This server STORES images and results." : "Images and results are not stored on the server.";
  byId("bundle").textContent = byId("stamp").textContent = info.bundle;
  if (info.keeps) byId("privacy").textContent = `PNG, JPEG, TIFF, DICOM or video. ${storage}`;
  byId("about").textContent = `${info.intended_use} Suraksha ${info.version}, network ${info.model_sha256.slice(0, 12)}. ${storage}`;
}
start();
