// The images that are open: their frames, what was found in each, and what a person made of it.

import * as api from "./api.js";
import { Mask } from "./mask.js";

const CHUNK = 12;
let count = 0;

export class Case {
  constructor(file) {
    this.id = ++count;
    this.file = file;
    this.name = file.name;
    this.frames = 1;
    this.fps = null;
    this.frame = 0;
    this.images = []; // PNG of each frame, as they come
    this.found = new Map(); // frame -> {record, mask, contours, lesions, calipers, kept}
    this.spacing = "";
    this.maps = []; // names of the attention maps
    this.state = "waiting";
  }

  get current() { return this.found.get(this.frame); }
  get cine() { return this.frames > 1; }

  // A frame of a video is sent by itself; the other kinds are sent whole, with the frame's number.
  sent(frame = this.frame) {
    const alone = this.kind === "video" && this.images[frame];
    return alone ? { file: this.images[frame], frame: 0 } : { file: this.file, frame };
  }

  async segment(frame = this.frame, attention = true) {
    const { file, frame: number } = this.sent(frame);
    const parts = ["image", "mask", ...(attention ? ["attention"] : [])];
    const answer = await api.segment({ files: file, frame: number, spacing_mm: this.spacing, parts });
    const [record] = answer.results;
    if (!this.kind) [this.kind, this.frames, this.fps] = [record.kind, record.frames, record.fps];
    await this.keep(frame, record, answer.kept);
    return this.found.get(frame);
  }

  async keep(frame, record, kept) {
    this.images[frame] ??= api.pngBlob(record.image_png);
    const mask = await Mask.fromPng(api.pngBlob(record.mask_png));
    const calipers = this.found.get(frame)?.calipers ?? [];
    const { contours, lesions } = record;
    if (record.attention) this.maps = Object.keys(record.attention.maps);
    delete record.image_png;
    delete record.mask_png;
    this.found.set(frame, { record, mask, contours, lesions, calipers, kept, own: { contours: contours.slice(), lesions } });
  }

  async segmentAll(told) {
    for (let frame = 0; frame < this.frames; frame++) {
      if (!this.found.has(frame)) await this.segment(frame, false);
      told(frame + 1);
    }
  }

  // All frames of a clip, piece by piece; a video may end before it said it would.
  async load(told) {
    for (let frame = 0; frame < this.frames; frame += CHUNK) {
      const answer = await api.frames({ file: this.file, frame, count: CHUNK }).catch((problem) => {
        if (problem.status === 422 && frame) return { images: [], ended: true };
        throw problem;
      });
      answer.images.forEach((text, n) => (this.images[frame + n] ??= api.pngBlob(text)));
      if (answer.ended) this.frames = Math.max(frame + answer.images.length, 1);
      told(Math.min(frame + CHUNK, this.frames));
    }
  }

  // Where the network looked in the current frame, asked for when it is wanted.
  async attention() {
    const at = this.current;
    if (at && !at.record.attention) {
      const { file, frame } = this.sent();
      const answer = await api.segment({ files: file, frame, parts: ["attention"] });
      at.record.attention = answer.results[0].attention;
    }
    return at?.record.attention;
  }

  // Measure what was drawn; false where a later change has overtaken it.
  async measure(frame = this.frame) {
    const at = this.found.get(frame), turn = (at.turn = (at.turn ?? 0) + 1);
    if (!at.mask.edited) {
      [at.contours, at.lesions] = [at.own.contours.slice(), at.own.lesions];
      return true;
    }
    const mask = await at.mask.toPng();
    const size = { rows: at.mask.rows, columns: at.mask.columns };
    const on = this.kind === "dicom" ? this.sent(frame) : size;
    const answer = await api.measure({ ...on, mask, spacing_mm: this.spacing });
    if (turn !== at.turn) return false;
    [at.contours, at.lesions] = [answer.contours, answer.lesions];
    return true;
  }

  // All again in another scale; what a person drew stays.
  async rescale(spacing) {
    const [found, was] = [this.found, this.spacing];
    const before = [...found].filter(([frame, at]) => frame === this.frame || at.mask.edited || at.calipers.length);
    [this.found, this.spacing] = [new Map(), spacing];
    try {
      for (const [frame, { mask, calipers }] of before) {
        const at = await this.segment(frame);
        if (mask.edited) {
          at.mask = mask;
          await this.measure(frame);
        }
        at.calipers = calipers.map(({ ends }) => ({ ends, text: this.distance(...ends, at) }));
      }
    } catch (problem) {
      [this.found, this.spacing] = [found, was]; // what a person drew is not lost
      throw problem;
    }
    return true;
  }

  async export(kind) {
    const at = this.current, sent = this.sent(), spacing_mm = this.spacing; // of this frame, before any wait
    const mask = at.mask.edited ? await at.mask.toPng() : undefined;
    const kept = kind === "correction" ? at.kept : undefined;
    return api.exported(kind, { ...sent, mask, kept, spacing_mm });
  }

  // Millimetres of a pixel at a place, [row, col], of a frame, or null.
  scaleAt([row, col], at) {
    const inside = at?.record.scans.find(({ box }) => row >= box[0] && row <= box[2] && col >= box[1] && col <= box[3]);
    return inside?.spacing_mm ?? null;
  }

  // A distance in mm, or in px where the scale is not known, saying which.
  distance(a, b, at = this.current) {
    const scale = this.scaleAt(a, at), other = this.scaleAt(b, at);
    const [rows, cols] = [b[0] - a[0], b[1] - a[1]];
    if (scale && other && scale[0] === other[0] && scale[1] === other[1]) return `${Math.hypot(rows * scale[0], cols * scale[1]).toFixed(1)} mm`;
    return `${Math.hypot(rows, cols).toFixed(1)} px`;
  }
}
