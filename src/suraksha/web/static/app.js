// The page: what is dropped is sent to this server, and what it answers is shown.

import * as api from "./api.js";
import { Case } from "./cases.js";
import { Cine } from "./cine.js";
import { Keys } from "./keys.js";
import { byId, showCases, showLesions, showMaps, summary } from "./panel.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const NOTHING = { mask: null, contours: [], lesions: [], calipers: [] };
const view = new View(byId("view"));
const cases = [];
let open = null, picked = 0, busy = 0;

const host = {
  content: () => view.content ?? NOTHING,
  mask: () => open?.current?.mask ?? null,
  distance: (a, b) => open.distance(a, b),
  changed: () => changed(),
  measured: (caliper) => { if (caliper.text) say(`Distance ${caliper.text}${caliper.text.endsWith("px") ? ", for the scale is not known" : ""}.`); buttons(); },
  moved: (place) => { byId("read-out").textContent = place ? readOut(place) : ""; },
  levels: () => levels(),
};
const tools = new Tools(view, host);
const cine = new Cine({ show: (frame) => showFrame(frame), rest: () => settle() });

const say = (text) => { byId("status").textContent = text; };
const complain = (text) => { byId("problem").textContent = text || open?.problem || ""; };

function levels() {
  const { width, level } = view.window;
  byId("levels").textContent = view.base ? `W ${width.toFixed(0)}  L ${level.toFixed(0)}` : "";
}

function readOut([row, col]) {
  if (!(row >= 0 && col >= 0 && row < view.rows && col < view.columns)) return "";
  return `row ${Math.floor(row)}, column ${Math.floor(col)}`;
}

// Do something that takes time; what goes wrong is told, never thrown away.
async function working(task) {
  complain("");
  byId("busy").hidden = ++busy === 0;
  try {
    return await task();
  } catch (problem) {
    if (problem.status === 401) byId("token-box").hidden = false;
    complain(problem.message);
    return null;
  } finally {
    byId("busy").hidden = --busy === 0;
  }
}

function buttons() {
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

function showAll() {
  const at = open?.current;
  if (at) {
    view.content = at;
    at.picked = picked;
    at.handles = tools.name === "contour";
  } else view.content = null;
  showLesions(at, picked, (n) => { picked = n; showAll(); });
  showCases(cases, open, openCase);
  byId("empty").hidden = Boolean(open);
  byId("view").setAttribute("aria-label", open ? `Ultrasound image ${open.name}. ${at ? summary(at) : ""}` : "Ultrasound image");
  if (open?.problem) complain("");
  levels();
  buttons();
  view.draw();
}

async function showHeat() {
  const one = open, name = byId("map").value;
  const attention = name && one?.current ? await working(() => one.attention()) : null;
  if (one !== open) return;
  const map = attention?.maps[name];
  await view.setHeat(map ? api.pngBlob(map.png) : null, attention?.box);
}

async function showFrame(frame) {
  if (!open) return;
  open.frame = frame;
  cine.told(open);
  const blob = open.images[frame];
  if (blob) await view.setImage(blob, true);
  if (view.heatMap) await view.setHeat(null); // that of another frame
  showAll();
}

// A clip has come to rest on a frame: say what is in it.
async function settle() {
  const one = open;
  if (!one) return;
  if (!one.current) await working(() => one.segment());
  if (one !== open) return;
  await afterAnswer(one);
}

async function afterAnswer(one) {
  const at = one.current;
  if (!at) { showAll(); return; }
  await view.setImage(one.images[one.frame], true);
  showMaps(one.maps, byId("map").value);
  await showHeat();
  showAll();
  say(summary(at));
}

// Once at a time: who asks while it is being worked on waits for the same answer.
function segmentCase(one) {
  return (one.pending ??= segmentNow(one).finally(() => { one.pending = null; }));
}

async function segmentNow(one) {
  one.state = "working";
  showCases(cases, open, openCase);
  one.problem = "";
  const found = await working(() => one.segment().catch((problem) => { one.problem = problem.message; throw problem; }));
  one.state = found ? "done" : "failed";
  if (one.cine && !one.loading) {
    one.loading = working(() => one.load((n) => { if (one === open) cine.told(one, n); }));
  }
}

async function openCase(one) {
  cine.stop();
  open = one;
  picked = 0;
  if (one.state === "failed" || !one.current) view.clear();
  byId("spacing").value = one.spacing;
  showAll();
  if (one.state !== "done") await segmentCase(one);
  if (one !== open) return;
  cine.open(one);
  if (one.current) { view.fit(); view.setWindow(255, 127.5); }
  await afterAnswer(one);
  view.fit();
}

async function add(files) {
  const first = cases.length;
  for (const file of files) cases.push(new Case(file));
  if (cases.length === first) return;
  await openCase(cases[first]);
  for (const one of cases.slice(first + 1)) {
    if (one.state === "waiting") await segmentCase(one);
    showCases(cases, open, openCase);
  }
}

async function changed() {
  const one = open;
  picked = 0;
  showAll();
  if (await working(() => one.measure())) {
    if (one === open) { showAll(); say(summary(one.current)); }
  }
}

const act = {
  undo: () => { if (host.mask()?.undo()) changed(); },
  redo: () => { if (host.mask()?.redo()) changed(); },
  reset: () => { host.mask()?.reset(); changed(); },
  "empty-mask": () => { host.mask()?.clear(); changed(); },
  "clear-calipers": () => { open.current.calipers.length = 0; showAll(); },
  "zoom-in": () => view.zoom(1.3),
  "zoom-out": () => view.zoom(1 / 1.3),
  fit: () => { view.fit(); view.setWindow(255, 127.5); levels(); },
  choose: () => byId("files").click(),
  add: () => byId("files").click(),
  "save-correction": () => exportAs("correction"),
  "help-open": () => byId("help").showModal(),
  "spacing-set": () => rescale(),
  "all-frames": () => allFrames(),
};
for (const [id, run] of Object.entries(act)) byId(id).addEventListener("click", run);

async function exportAs(kind) {
  const one = open;
  const file = await working(() => one.export(kind));
  if (!file) return;
  api.save(file.blob, file.name);
  say(`Saved ${file.name}.`);
}

async function rescale() {
  const one = open;
  if (!one || !byId("spacing").reportValidity()) return;
  const done = await working(() => one.rescale(byId("spacing").value));
  if (done && one === open) await afterAnswer(one);
}

async function allFrames() {
  const one = open;
  cine.stop();
  await one.loading;
  await working(() => one.segmentAll((n) => say(`Segmented ${n} of ${one.frames} frames.`)));
  if (one === open) showAll();
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.setToken(byId("token").value);
  byId("token-box").hidden = true;
  start();
});
byId("exports").addEventListener("click", (event) => { if (event.target.dataset.kind) exportAs(event.target.dataset.kind); });
byId("files").addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
byId("map").addEventListener("change", showHeat);
byId("brush").addEventListener("input", (event) => tools.setRadius(Number(event.target.value)));
for (const [id, name] of [["opacity", "opacity"], ["heat", "heat"]]) {
  byId(id).addEventListener("input", (event) => { view.show[name] = event.target.value / 100; view.draw(); });
}
for (const id of ["contours", "axes"]) {
  byId(id).addEventListener("change", (event) => { view.show[id] = event.target.checked; view.draw(); });
}
for (const radio of document.getElementsByName("tool")) radio.addEventListener("change", () => tools.choose(radio.value));

const field = byId("field");
for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => { event.preventDefault(); field.classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) field.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  field.classList.remove("over");
  add([...event.dataTransfer.files]);
});
new Keys(tools, view, { act, cine, draw: () => showAll(), heat: showHeat });

async function start() {
  const about = await working(api.about);
  if (!about) return;
  byId("bundle").textContent = byId("stamp").textContent = about.bundle;
  if (about.keeps) byId("privacy").textContent = "PNG, JPEG, TIFF, DICOM or a video. This server was told to keep images and results.";
  byId("about").textContent = `${about.intended_use} Suraksha ${about.version}, network ${about.model_sha256.slice(0, 12)}. ${about.keeps ? "This server KEEPS images and results." : "Nothing is kept on the server."}`;
}
start();
