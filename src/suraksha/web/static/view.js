// Draws an image with all that lies over it, and turns places on the screen into [row, col].

import { trace } from "./mask.js";

const TINT = "#f0a81c", AXES = "#6cc0f5", CALIPER = "#7ee0a8";
// as suraksha.reporting.attention: dark blue over red to yellow
const HEAT = [[10, 10, 60], [110, 20, 110], [210, 50, 60], [250, 150, 30], [255, 250, 140]];

function heatColour(value) {
  const place = (value / 255) * (HEAT.length - 1);
  const low = Math.min(Math.floor(place), HEAT.length - 2);
  return HEAT[low].map((c, n) => c + (HEAT[low + 1][n] - c) * (place - low));
}

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.show = { opacity: 0.22, contours: true, axes: true, heat: 0.55, all: true };
    this.window = { width: 255, level: 127.5 };
    this.scale = 1;
    this.offset = [0, 0]; // where the image's corner lies: x, y
    this.cursor = null;
    this.brush = null; // radius of what is painted with
    this.due = false;
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

  // content: {mask, contours, lesions, calipers, moved, handles}
  async setImage(blob, keep = false) {
    const image = await createImageBitmap(blob);
    const same = this.columns === image.width && this.rows === image.height;
    [this.columns, this.rows] = [image.width, image.height];
    const canvas = new OffscreenCanvas(this.columns, this.rows);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    this.source = pen.getImageData(0, 0, this.columns, this.rows);
    this.base = canvas;
    this.basePen = pen;
    this.applyWindow();
    if (!keep || !same) this.fit();
    this.draw();
  }

  clear() {
    this.source = this.base = this.content = this.heatMap = null;
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
    this.basePen.putImageData(made, 0, 0);
  }

  async setHeat(blob, box) {
    this.heatMap = null;
    if (blob) {
      const image = await createImageBitmap(blob);
      const canvas = new OffscreenCanvas(image.width, image.height);
      const pen = canvas.getContext("2d");
      pen.drawImage(image, 0, 0);
      const data = pen.getImageData(0, 0, image.width, image.height);
      for (let n = 0; n < data.data.length; n += 4) data.data.set(heatColour(data.data[n]), n);
      pen.putImageData(data, 0, 0);
      this.heatMap = { canvas, box };
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
    this.offset = [x, y].map((place, n) => place - ((place - this.offset[n]) * scale) / this.scale);
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  move(dx, dy) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
    this.fitted = false;
    this.draw();
  }

  // screen pixels of the canvas from an event
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
  }

  toImage([x, y]) { return [(y - this.offset[1]) / this.scale, (x - this.offset[0]) / this.scale]; }
  toScreen([row, col]) { return [col * this.scale + this.offset[0], row * this.scale + this.offset[1]]; }

  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.paint(); });
  }

  paint() {
    const { pen, canvas } = this;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.base) return;
    pen.setTransform(this.scale, 0, 0, this.scale, ...this.offset);
    pen.imageSmoothingEnabled = this.scale < 6;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.base, 0, 0);
    if (this.heatMap && this.show.heat) this.paintHeat();
    if (this.content && this.show.all) this.paintContent(this.content);
    this.paintCursor();
  }

  paintHeat() {
    const [top, left, bottom, right] = this.heatMap.box;
    this.pen.globalAlpha = this.show.heat;
    this.pen.imageSmoothingEnabled = true;
    this.pen.drawImage(this.heatMap.canvas, left, top, right - left, bottom - top);
    this.pen.globalAlpha = 1;
  }

  paintContent({ mask, contours, lesions, calipers, moved, handles, picked }) {
    const pen = this.pen, px = (this.ratio || 1) / this.scale;
    if (mask && this.show.opacity) this.paintMask(mask);
    pen.lineJoin = "round";
    if (this.show.contours) {
      contours.forEach((contour, n) => {
        const path = trace(new Path2D(), moved?.index === n ? moved.points : contour);
        pen.strokeStyle = "#000a";
        pen.lineWidth = 3.4 * px;
        pen.stroke(path);
        pen.strokeStyle = TINT;
        pen.lineWidth = (n === picked ? 2.4 : 1.7) * px;
        pen.stroke(path);
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
    const pen = tinted.getContext("2d");
    pen.globalCompositeOperation = "copy";
    pen.drawImage(mask.canvas, 0, 0);
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = TINT;
    pen.fillRect(0, 0, tinted.width, tinted.height);
    this.pen.globalAlpha = this.show.opacity;
    this.pen.drawImage(tinted, 0, 0);
    this.pen.globalAlpha = 1;
  }

  paintHandles(points, px) {
    const step = Math.max(Math.round(points.length / 28), 1);
    this.pen.fillStyle = "#14181d";
    this.pen.strokeStyle = TINT;
    this.pen.lineWidth = 1.4 * px;
    for (let n = 0; n < points.length - step / 2; n += step) {
      this.pen.beginPath();
      this.pen.arc(points[n][1], points[n][0], 3.6 * px, 0, 7);
      this.pen.fill();
      this.pen.stroke();
    }
  }

  paintLine([[row, col], [toRow, toCol]], colour, px) {
    const pen = this.pen;
    for (const [style, width] of [["#000a", 3], [colour, 1.4]]) {
      pen.strokeStyle = style;
      pen.lineWidth = width * px;
      pen.beginPath();
      pen.moveTo(col, row);
      pen.lineTo(toCol, toRow);
      for (const [y, x] of [[row, col], [toRow, toCol]]) {
        pen.moveTo(x - 5 * px, y);
        pen.lineTo(x + 5 * px, y);
        pen.moveTo(x, y - 5 * px);
        pen.lineTo(x, y + 5 * px);
      }
      pen.stroke();
    }
  }

  paintText(text, place, colour) {
    const pen = this.pen, ratio = this.ratio || 1, [x, y] = this.toScreen(place);
    pen.save();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.font = `600 ${13 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
    const width = pen.measureText(text).width, left = Math.min(x + 8 * ratio, this.canvas.width - width - 8 * ratio);
    pen.fillStyle = "#000c";
    pen.fillRect(left - 4 * ratio, y - 19 * ratio, width + 8 * ratio, 18 * ratio);
    pen.fillStyle = colour;
    pen.fillText(text, left, y - 5.5 * ratio);
    pen.restore();
  }

  paintCursor() {
    if (!this.cursor) return;
    const pen = this.pen, [row, col] = this.cursor, px = (this.ratio || 1) / this.scale;
    pen.lineWidth = 1.3 * px;
    pen.strokeStyle = "#fff";
    pen.beginPath();
    if (this.brush) pen.arc(col, row, this.brush, 0, 7);
    else {
      for (const [a, b] of [[-14, -4], [4, 14]]) {
        pen.moveTo(col + a * px, row);
        pen.lineTo(col + b * px, row);
        pen.moveTo(col, row + a * px);
        pen.lineTo(col, row + b * px);
      }
    }
    pen.stroke();
  }
}
