// What a pointer or the keyboard does to the image. One press, drag and let go for both.

const REACH = 16; // pixels of the screen within which a contour is taken hold of
const SOFT = 0.09; // share of a contour that follows to either side of the dragged point

export function nearest(contours, [row, col]) {
  let best = null;
  contours.forEach((contour, index) => contour.forEach(([r, c], point) => {
    const distance = Math.hypot(r - row, c - col);
    if (!best || distance < best.distance) best = { index, point, distance };
  }));
  return best;
}

// The contour with one point moved; its neighbours follow, the less the further they are.
export function bent(points, point, [rows, cols]) {
  const ring = points.slice(0, -1), count = ring.length;
  const reach = Math.max(Math.round(count * SOFT), 3);
  const moved = ring.map(([row, col], n) => {
    const away = Math.min((n - point + count) % count, (point - n + count) % count);
    const share = away >= reach ? 0 : (1 + Math.cos((Math.PI * away) / reach)) / 2;
    return [row + share * rows, col + share * cols];
  });
  return [...moved, moved[0]];
}

export class Tools {
  // host: {content(), mask(), changed(), distance(a, b), moved(place), levels()}
  constructor(view, host) {
    [this.view, this.host] = [view, host];
    this.name = "window";
    this.radius = 12;
    this.pressed = null;
    this.pointers = new Map();
    const canvas = view.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => this.up(event));
    canvas.addEventListener("pointerleave", () => { if (!this.pressed) this.hover(null); });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      view.zoom(Math.exp(-event.deltaY / 500), ...view.place(event));
    }, { passive: false });
    canvas.addEventListener("dblclick", () => { if (this.name === "window") view.setWindow(255, 127.5), host.levels(); });
    canvas.addEventListener("blur", () => { if (this.keyed) { this.release(); view.cursor = null; view.draw(); } });
  }

  choose(name) {
    if (this.pressed) this.release();
    this.name = name;
    this.view.brush = name === "brush" || name === "erase" ? this.radius : null;
    this.view.canvas.style.cursor = { pan: "grab", window: "default" }[name] ?? "crosshair";
    this.host.content().handles = name === "contour";
    this.view.draw();
  }

  setRadius(radius) {
    this.radius = radius;
    if (this.view.brush) this.view.brush = radius;
    this.view.draw();
  }

  down(event) {
    if (!this.view.base) return;
    this.view.canvas.focus({ preventScroll: true });
    this.view.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.view.place(event));
    if (this.pointers.size === 2) { this.cancel(); return; }
    if (this.pointers.size > 2) return;
    const tool = event.button === 1 || event.altKey ? "pan" : this.name;
    if (event.button <= 1) this.press(this.view.place(event), tool);
  }

  moved(event) {
    const place = this.view.place(event), before = this.pointers.get(event.pointerId);
    if (this.pointers.size === 2 && before) { this.pinch(event.pointerId, place); return; }
    if (before) this.pointers.set(event.pointerId, place);
    this.hover(place);
    if (this.pressed) this.drag(place);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.pressed && !this.keyed) this.release();
  }

  pinch(id, place) {
    const before = this.pointers.get(id), [other] = [...this.pointers].filter(([key]) => key !== id).map(([, p]) => p);
    const span = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
    if (span(before) > 1) this.view.zoom(span(place) / span(before), ...other);
    this.view.move((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
    this.pointers.set(id, place);
  }

  hover(place) {
    if (this.view.brush) { this.view.cursor = place && this.view.toImage(place); this.view.draw(); }
    else if (!this.keyed) this.view.cursor = null;
    this.host.moved(place && this.view.toImage(place));
  }

  press(place, tool = this.name) {
    const at = this.view.toImage(place), mask = this.host.mask(), content = this.host.content();
    const pressed = { tool, start: place, last: place, at, window: { ...this.view.window } };
    if (tool === "caliper") {
      pressed.caliper = { ends: [at, at], text: "" };
      content.calipers.push(pressed.caliper);
    } else if ((tool === "brush" || tool === "erase") && mask) {
      mask.begin();
      mask.paint(at, at, this.radius, tool === "erase");
    } else if (tool === "contour") {
      const found = nearest(content.contours, at);
      const reach = (REACH * (this.view.ratio || 1)) / this.view.scale;
      if (!mask || !found || found.distance > reach) return;
      pressed.hold = { ...found, before: content.contours[found.index] };
    } else if (tool === "brush" || tool === "erase") return;
    this.pressed = pressed;
    this.view.draw();
  }

  drag(place) {
    const { tool, start, last, at, window, caliper, hold } = this.pressed, view = this.view;
    const ratio = view.ratio || 1, now = view.toImage(place);
    if (tool === "pan") view.move(place[0] - last[0], place[1] - last[1]);
    else if (tool === "window") {
      view.setWindow(window.width + (place[0] - start[0]) / ratio, window.level - (place[1] - start[1]) / (2 * ratio));
      this.host.levels();
    } else if (tool === "caliper") {
      caliper.ends = [at, now];
      caliper.text = this.host.distance(at, now);
    } else if (tool === "contour") {
      const by = [now[0] - at[0], now[1] - at[1]];
      this.host.content().moved = { index: hold.index, points: bent(hold.before, hold.point, by) };
    } else this.host.mask().paint(view.toImage(last), now, this.radius, tool === "erase");
    this.pressed.last = place;
    view.draw();
  }

  release() {
    const { tool, caliper, hold } = this.pressed ?? {}, content = this.host.content();
    this.pressed = null;
    this.keyed = false;
    if (tool === "caliper") {
      if (!caliper.text) content.calipers.splice(content.calipers.indexOf(caliper), 1);
      this.host.measured(caliper);
    } else if (tool === "contour" && content.moved) {
      const mask = this.host.mask(), { points } = content.moved;
      mask.begin();
      mask.replace(hold.before, points);
      mask.end();
      content.contours[hold.index] = points;
      content.moved = null;
      this.host.changed();
    } else if (tool === "brush" || tool === "erase") {
      this.host.mask().end();
      this.host.changed();
    }
    this.view.draw();
  }

  // A second finger has come: this is a pinch and no stroke.
  cancel() {
    const pressed = this.pressed, content = this.host.content();
    this.pressed = null;
    content.moved = null;
    if (pressed?.tool === "brush" || pressed?.tool === "erase") this.host.mask().undo();
    if (pressed?.caliper) content.calipers.splice(content.calipers.indexOf(pressed.caliper), 1);
    this.view.draw();
  }

  // Arrow keys and Enter on the image; whether the key was of use.
  key(event) {
    const step = event.shiftKey ? 10 : 1, view = this.view;
    const way = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] }[event.key];
    if (!view.base || !(way || event.key === "Enter" || (event.key === "Escape" && this.keyed))) return false;
    view.cursor ??= [view.rows / 2, view.columns / 2];
    if (way) {
      const [row, col] = view.cursor;
      view.cursor = [Math.min(Math.max(row + way[0], 0), view.rows), Math.min(Math.max(col + way[1], 0), view.columns)];
      if (this.keyed) this.drag(view.toScreen(view.cursor));
      this.host.moved(view.cursor);
    } else if (this.keyed) this.release();
    else {
      this.press(view.toScreen(view.cursor));
      this.keyed = Boolean(this.pressed);
    }
    view.draw();
    return true;
  }
}
