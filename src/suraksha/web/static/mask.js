// An editable mask with undo and redo. Points are [row, col], as on the server.

const MAX_UNDO = 40;

export function trace(path, points) {
  points.forEach(([row, col], n) => (n ? path.lineTo(col, row) : path.moveTo(col, row)));
  path.closePath();
  return path;
}

export class Mask {
  constructor(rows, columns) {
    this.rows = rows;
    this.columns = columns;
    this.canvas = new OffscreenCanvas(columns, rows);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.past = [];
    this.future = [];
    this.edited = false;
  }

  static async fromPng(blob) {
    const image = await createImageBitmap(blob);
    const mask = new Mask(image.height, image.width);
    mask.context.drawImage(image, 0, 0);
    const data = mask.context.getImageData(0, 0, mask.columns, mask.rows);
    for (let n = 0; n < data.data.length; n += 4) data.data[n + 3] = data.data[n] >= 128 ? 255 : 0;
    mask.context.putImageData(data, 0, 0);
    mask.original = mask.bits();
    return mask;
  }

  bits() {
    const data = this.context.getImageData(0, 0, this.columns, this.rows).data;
    const bits = new Uint8Array(data.length / 4);
    for (let n = 0; n < bits.length; n++) bits[n] = data[4 * n + 3] >= 128 ? 1 : 0;
    return bits;
  }

  setBits(bits) {
    const data = new ImageData(this.columns, this.rows);
    const words = new Uint32Array(data.data.buffer);
    for (let n = 0; n < bits.length; n++) words[n] = bits[n] ? 0xffffffff : 0;
    this.context.putImageData(data, 0, 0);
  }

  // Called before an edit: saves the state for undo.
  begin() {
    this.past.push({ bits: this.bits(), edited: this.edited });
    if (this.past.length > MAX_UNDO) this.past.shift();
    this.future = [];
  }

  // Called after an edit: makes half-transparent edges either opaque or clear.
  end() {
    this.setBits(this.bits());
    this.edited = true;
  }

  step(from, to) {
    const state = from.pop();
    if (!state) return false;
    to.push({ bits: this.bits(), edited: this.edited });
    this.setBits(state.bits);
    this.edited = state.edited;
    return true;
  }

  undo() { return this.step(this.past, this.future); }
  redo() { return this.step(this.future, this.past); }

  paint([row, col], [toRow, toCol], radius, erase) {
    const context = this.context;
    context.save();
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.strokeStyle = "#fff";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = 2 * radius;
    context.beginPath();
    context.moveTo(col, row);
    context.lineTo(toCol, toRow + 1e-3);
    context.stroke();
    context.restore();
  }

  // Pixels outside the mask that it encloses: those not connected to the border.
  holes() {
    const { rows, columns } = this, state = this.bits(), stack = []; // 0 unvisited, 1 mask, 2 outside
    const visit = (row, col) => {
      const n = row * columns + col;
      if (row < 0 || col < 0 || row >= rows || col >= columns || state[n]) return;
      state[n] = 2;
      stack.push(n);
    };
    for (let row = 0; row < rows; row++) { visit(row, 0); visit(row, columns - 1); }
    for (let col = 0; col < columns; col++) { visit(0, col); visit(rows - 1, col); }
    while (stack.length) {
      const n = stack.pop(), row = Math.floor(n / columns), col = n % columns;
      visit(row - 1, col); visit(row + 1, col); visit(row, col - 1); visit(row, col + 1);
    }
    return state.map((value) => (value === 0 ? 1 : 0));
  }

  // Replace one contour by another. The holes of the mask are kept.
  replace(before, after) {
    const context = this.context, holes = this.holes();
    context.save();
    context.fillStyle = context.strokeStyle = "#fff";
    context.globalCompositeOperation = "destination-out";
    context.fill(trace(new Path2D(), before));
    context.lineWidth = 1.5;
    context.stroke(trace(new Path2D(), before));
    context.globalCompositeOperation = "source-over";
    context.fill(trace(new Path2D(), after));
    context.restore();
    if (holes.includes(1)) this.setBits(this.bits().map((bit, n) => (holes[n] ? 0 : bit)));
  }

  clear() {
    this.begin();
    this.setBits(new Uint8Array(this.rows * this.columns));
    this.edited = true;
  }

  reset() {
    this.begin();
    this.setBits(this.original);
    this.edited = false;
  }

  toPng() {
    const bits = this.bits();
    const canvas = new OffscreenCanvas(this.columns, this.rows);
    const data = new ImageData(this.columns, this.rows);
    const words = new Uint32Array(data.data.buffer);
    for (let n = 0; n < bits.length; n++) words[n] = bits[n] ? 0xffffffff : 0xff000000;
    canvas.getContext("2d").putImageData(data, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }
}
