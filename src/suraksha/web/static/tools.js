// The tools. Pointer and keyboard share the same press, drag and release.

const GRAB_RADIUS = 16; // screen pixels within which a contour can be grabbed
const FALLOFF = 0.09; // fraction of a contour that follows on either side of the dragged point

export function nearest(contours, [row, col]) {
  let best = null;
  contours.forEach((contour, index) => contour.forEach(([r, c], point) => {
    const distance = Math.hypot(r - row, c - col);
    if (!best || distance < best.distance) best = { index, point, distance };
  }));
  return best;
}

// The contour with one point moved. Its neighbours follow, less with their distance.
export function deform(points, point, [rows, cols]) {
  const ring = points.slice(0, -1), count = ring.length;
  const reach = Math.max(Math.round(count * FALLOFF), 3);
  const moved = ring.map(([row, col], n) => {
    const steps = Math.min((n - point + count) % count, (point - n + count) % count);
    const weight = steps >= reach ? 0 : (1 + Math.cos((Math.PI * steps) / reach)) / 2;
    return [row + weight * rows, col + weight * cols];
  });
  return [...moved, moved[0]];
}

export class Tools {
  // host: {content(), mask(), changed(), measured(caliper), distance(a, b), moved(position), levels()}
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
      view.zoom(Math.exp(-event.deltaY / 500), ...view.position(event));
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
    this.pointers.set(event.pointerId, this.view.position(event));
    if (this.pointers.size === 2) { this.cancel(); return; }
    if (this.pointers.size > 2) return;
    const tool = event.button === 1 || event.altKey ? "pan" : this.name;
    if (event.button <= 1) this.press(this.view.position(event), tool);
  }

  moved(event) {
    const position = this.view.position(event), before = this.pointers.get(event.pointerId);
    if (this.pointers.size === 2 && before) { this.pinch(event.pointerId, position); return; }
    if (before) this.pointers.set(event.pointerId, position);
    this.hover(position);
    if (this.pressed) this.drag(position);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.pressed && !this.keyed) this.release();
  }

  pinch(id, position) {
    const before = this.pointers.get(id), [other] = [...this.pointers].filter(([key]) => key !== id).map(([, p]) => p);
    const span = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
    if (span(before) > 1) this.view.zoom(span(position) / span(before), ...other);
    this.view.move((position[0] - before[0]) / 2, (position[1] - before[1]) / 2);
    this.pointers.set(id, position);
  }

  hover(position) {
    if (this.view.brush) { this.view.cursor = position && this.view.toImage(position); this.view.draw(); }
    else if (!this.keyed) this.view.cursor = null;
    this.host.moved(position && this.view.toImage(position));
  }

  press(position, tool = this.name) {
    const at = this.view.toImage(position), mask = this.host.mask(), content = this.host.content();
    const pressed = { tool, start: position, last: position, at, window: { ...this.view.window } };
    if (tool === "caliper") {
      pressed.caliper = { ends: [at, at], text: "" };
      content.calipers.push(pressed.caliper);
    } else if ((tool === "brush" || tool === "erase") && mask) {
      mask.begin();
      mask.paint(at, at, this.radius, tool === "erase");
    } else if (tool === "contour") {
      const found = nearest(content.contours, at);
      const reach = (GRAB_RADIUS * (this.view.ratio || 1)) / this.view.scale;
      if (!mask || !found || found.distance > reach) return;
      pressed.hold = { ...found, before: content.contours[found.index] };
    } else if (tool === "brush" || tool === "erase") return;
    this.pressed = pressed;
    this.view.draw();
  }

  drag(position) {
    const { tool, start, last, at, window, caliper, hold } = this.pressed, view = this.view;
    const ratio = view.ratio || 1, now = view.toImage(position);
    if (tool === "pan") view.move(position[0] - last[0], position[1] - last[1]);
    else if (tool === "window") {
      view.setWindow(window.width + (position[0] - start[0]) / ratio, window.level - (position[1] - start[1]) / (2 * ratio));
      this.host.levels();
    } else if (tool === "caliper") {
      caliper.ends = [at, now];
      caliper.text = this.host.distance(at, now);
    } else if (tool === "contour") {
      const by = [now[0] - at[0], now[1] - at[1]];
      this.host.content().moved = { index: hold.index, points: deform(hold.before, hold.point, by) };
    } else this.host.mask().paint(view.toImage(last), now, this.radius, tool === "erase");
    this.pressed.last = position;
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

  // A second finger makes this a pinch: cancel the stroke.
  cancel() {
    const pressed = this.pressed, content = this.host.content();
    this.pressed = null;
    content.moved = null;
    if (pressed?.tool === "brush" || pressed?.tool === "erase") this.host.mask().undo();
    if (pressed?.caliper) content.calipers.splice(content.calipers.indexOf(pressed.caliper), 1);
    this.view.draw();
  }

  // Arrow keys and Enter on the image. True if the key was used.
  key(event) {
    const step = event.shiftKey ? 10 : 1, view = this.view;
    const move = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] }[event.key];
    if (!view.base || !(move || event.key === "Enter" || (event.key === "Escape" && this.keyed))) return false;
    view.cursor ??= [view.rows / 2, view.columns / 2];
    if (move) {
      const [row, col] = view.cursor;
      view.cursor = [Math.min(Math.max(row + move[0], 0), view.rows), Math.min(Math.max(col + move[1], 0), view.columns)];
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
