// Draws the image and its overlays, and converts screen positions to [row, col].

import { trace } from "./mask.js";

const TINT = "#f0a81c", AXES = "#6cc0f5", CALIPER = "#7ee0a8";
// the colours of suraksha.reporting.attention: dark blue, red, yellow
const ATTENTION = [[10, 10, 60], [110, 20, 110], [210, 50, 60], [250, 150, 30], [255, 250, 140]];

function attentionColour(value) {
  const position = (value / 255) * (ATTENTION.length - 1);
  const low = Math.min(Math.floor(position), ATTENTION.length - 2);
  return ATTENTION[low].map((c, n) => c + (ATTENTION[low + 1][n] - c) * (position - low));
}

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.show = { maskOpacity: 0.22, contours: true, axes: true, attentionOpacity: 0.55, all: true };
    this.window = { width: 255, level: 127.5 };
    this.scale = 1;
    this.offset = [0, 0]; // of the top left corner of the image, in canvas pixels: x, y
    this.cursor = null;
    this.brush = null; // radius of the brush in image pixels
    this.scheduled = false;
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width) return;
    const fitted = this.fitted;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.ratio = ratio;
    if (fitted) this.fit();
    this.draw();
  }

  // The overlays are drawn from this.content: {mask, contours, lesions, calipers, moved, handles, selected}
  async setImage(blob, keep = false) {
    const image = await createImageBitmap(blob);
    const same = this.columns === image.width && this.rows === image.height;
    [this.columns, this.rows] = [image.width, image.height];
    const canvas = new OffscreenCanvas(this.columns, this.rows);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    this.source = context.getImageData(0, 0, this.columns, this.rows);
    this.base = canvas;
    this.baseContext = context;
    this.applyWindow();
    if (!keep || !same) this.fit();
    this.draw();
  }

  clear() {
    this.source = this.base = this.content = this.attention = null;
    this.draw();
  }

  setWindow(width, level) {
    this.window = { width: Math.min(Math.max(width, 2), 512), level: Math.min(Math.max(level, 0), 255) };
    this.applyWindow();
    this.draw();
  }

  applyWindow() {
    if (!this.source) return;
    const { width, level } = this.window;
    const table = new Uint8ClampedArray(256);
    for (let n = 0; n < 256; n++) table[n] = 255 * ((n - level) / width + 0.5);
    const from = this.source.data, made = new ImageData(this.columns, this.rows), to = made.data;
    for (let n = 0; n < from.length; n += 4) {
      to[n] = table[from[n]];
      to[n + 1] = table[from[n + 1]];
      to[n + 2] = table[from[n + 2]];
      to[n + 3] = 255;
    }
    this.baseContext.putImageData(made, 0, 0);
  }

  async setAttention(blob, box) {
    this.attention = null;
    if (blob) {
      const image = await createImageBitmap(blob);
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const data = context.getImageData(0, 0, image.width, image.height);
      for (let n = 0; n < data.data.length; n += 4) data.data.set(attentionColour(data.data[n]), n);
      context.putImageData(data, 0, 0);
      this.attention = { canvas, box };
    }
    this.draw();
  }

  fit() {
    if (!this.columns) return;
    const { width, height } = this.canvas;
    this.scale = Math.min(width / this.columns, height / this.rows);
    this.offset = [(width - this.scale * this.columns) / 2, (height - this.scale * this.rows) / 2];
    this.fitted = true;
    this.draw();
  }

  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const scale = Math.min(Math.max(this.scale * factor, 0.05), 60 * (this.ratio || 1));
    this.offset = [x, y].map((position, n) => position - ((position - this.offset[n]) * scale) / this.scale);
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  move(dx, dy) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
    this.fitted = false;
    this.draw();
  }

  // The position of an event in canvas pixels: x, y.
  position(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
  }

  toImage([x, y]) { return [(y - this.offset[1]) / this.scale, (x - this.offset[0]) / this.scale]; }
  toScreen([row, col]) { return [col * this.scale + this.offset[0], row * this.scale + this.offset[1]]; }

  draw() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => { this.scheduled = false; this.paint(); });
  }

  paint() {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.base) return;
    context.setTransform(this.scale, 0, 0, this.scale, ...this.offset);
    context.imageSmoothingEnabled = this.scale < 6;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.base, 0, 0);
    if (this.attention && this.show.attentionOpacity) this.paintAttention();
    if (this.content && this.show.all) this.paintContent(this.content);
    this.paintCursor();
  }

  paintAttention() {
    const [top, left, bottom, right] = this.attention.box;
    this.context.globalAlpha = this.show.attentionOpacity;
    this.context.imageSmoothingEnabled = true;
    this.context.drawImage(this.attention.canvas, left, top, right - left, bottom - top);
    this.context.globalAlpha = 1;
  }

  paintContent({ mask, contours, lesions, calipers, moved, handles, selected }) {
    const context = this.context, px = (this.ratio || 1) / this.scale;
    if (mask && this.show.maskOpacity) this.paintMask(mask);
    context.lineJoin = "round";
    if (this.show.contours) {
      contours.forEach((contour, n) => {
        const path = trace(new Path2D(), moved?.index === n ? moved.points : contour);
        context.strokeStyle = "#000a";
        context.lineWidth = 3.4 * px;
        context.stroke(path);
        context.strokeStyle = TINT;
        context.lineWidth = (n === selected ? 2.4 : 1.7) * px;
        context.stroke(path);
        if (handles) this.paintHandles(moved?.index === n ? moved.points : contour, px);
      });
    }
    if (this.show.axes && !moved) {
      for (const lesion of lesions) {
        this.paintLine(lesion.long_axis_ends, AXES, px);
        this.paintLine(lesion.short_axis_ends, AXES, px);
      }
    }
    lesions.forEach((lesion) => {
      if (lesions.length > 1) this.paintText(String(lesion.label), [lesion.bbox[0], lesion.bbox[3]], TINT);
    });
    for (const caliper of calipers) {
      this.paintLine(caliper.ends, CALIPER, px);
      this.paintText(caliper.text, caliper.ends[1], CALIPER);
    }
  }

  paintMask(mask) {
    const tinted = (this.tinted ??= new OffscreenCanvas(1, 1));
    if (tinted.width !== mask.columns || tinted.height !== mask.rows) [tinted.width, tinted.height] = [mask.columns, mask.rows];
    const context = tinted.getContext("2d");
    context.globalCompositeOperation = "copy";
    context.drawImage(mask.canvas, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = TINT;
    context.fillRect(0, 0, tinted.width, tinted.height);
    this.context.globalAlpha = this.show.maskOpacity;
    this.context.drawImage(tinted, 0, 0);
    this.context.globalAlpha = 1;
  }

  paintHandles(points, px) {
    const step = Math.max(Math.round(points.length / 28), 1);
    this.context.fillStyle = "#14181d";
    this.context.strokeStyle = TINT;
    this.context.lineWidth = 1.4 * px;
    for (let n = 0; n < points.length - step / 2; n += step) {
      this.context.beginPath();
      this.context.arc(points[n][1], points[n][0], 3.6 * px, 0, 7);
      this.context.fill();
      this.context.stroke();
    }
  }

  paintLine([[row, col], [toRow, toCol]], colour, px) {
    const context = this.context;
    for (const [style, width] of [["#000a", 3], [colour, 1.4]]) {
      context.strokeStyle = style;
      context.lineWidth = width * px;
      context.beginPath();
      context.moveTo(col, row);
      context.lineTo(toCol, toRow);
      for (const [y, x] of [[row, col], [toRow, toCol]]) {
        context.moveTo(x - 5 * px, y);
        context.lineTo(x + 5 * px, y);
        context.moveTo(x, y - 5 * px);
        context.lineTo(x, y + 5 * px);
      }
      context.stroke();
    }
  }

  paintText(text, position, colour) {
    const context = this.context, ratio = this.ratio || 1, [x, y] = this.toScreen(position);
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.font = `600 ${13 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
    const width = context.measureText(text).width, left = Math.min(x + 8 * ratio, this.canvas.width - width - 8 * ratio);
    context.fillStyle = "#000c";
    context.fillRect(left - 4 * ratio, y - 19 * ratio, width + 8 * ratio, 18 * ratio);
    context.fillStyle = colour;
    context.fillText(text, left, y - 5.5 * ratio);
    context.restore();
  }

  paintCursor() {
    if (!this.cursor) return;
    const context = this.context, [row, col] = this.cursor, px = (this.ratio || 1) / this.scale;
    context.lineWidth = 1.3 * px;
    context.strokeStyle = "#fff";
    context.beginPath();
    if (this.brush) context.arc(col, row, this.brush, 0, 7);
    else {
      for (const [a, b] of [[-14, -4], [4, 14]]) {
        context.moveTo(col + a * px, row);
        context.lineTo(col + b * px, row);
        context.moveTo(col, row + a * px);
        context.lineTo(col, row + b * px);
      }
    }
    context.stroke();
  }
}
