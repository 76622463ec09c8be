// The open files: their frames, the result of each frame, and its correction.

import * as api from "./api.js";
import { exportName, labelled } from "./exports.js";
import { Mask } from "./mask.js";

const CHUNK = 12; // frames per request
let count = 0;

export class Case {
  constructor(file) {
    this.id = ++count;
    this.file = file;
    this.name = file.name;
    this.frames = 1;
    this.fps = null;
    this.frame = 0;
    this.images = []; // PNG of each frame, loaded in the background
    this.results = new Map(); // frame -> {record, mask, contours, lesions, calipers, kept, measured, automatic}
    this.spacing = "";
    this.maps = []; // names of the attention maps
    this.state = "waiting";
    this.status = ""; // shown below the image while this case is open
    this.problem = ""; // the last error of this case
  }

  get current() { return this.results.get(this.frame); }
  get isClip() { return this.frames > 1; }

  // A frame of a video is sent alone. Other files are sent whole, with the index of the frame.
  upload(frame = this.frame) {
    const alone = this.kind === "video" && this.images[frame];
    return alone ? { file: this.images[frame], frame: 0 } : { file: this.file, frame };
  }

  async segment(frame = this.frame, attention = true) {
    const { file, frame: index } = this.upload(frame);
    const parts = ["image", "mask", ...(attention ? ["attention"] : [])];
    const response = await api.segment({ files: file, frame: index, spacing_mm: this.spacing, parts });
    const [record] = response.results;
    if (!this.kind) [this.kind, this.frames, this.fps] = [record.kind, record.frames, record.fps];
    await this.store(frame, record, response.kept);
    return this.results.get(frame);
  }

  async store(frame, record, kept) {
    this.images[frame] ??= api.pngBlob(record.image_png);
    const mask = await Mask.fromPng(api.pngBlob(record.mask_png));
    const calipers = this.results.get(frame)?.calipers ?? [];
    const { contours, lesions } = record;
    if (record.attention) this.maps = Object.keys(record.attention.maps);
    delete record.image_png;
    delete record.mask_png;
    this.results.set(frame, { record, mask, contours, lesions, calipers, kept, measured: true, automatic: { contours: contours.slice(), lesions } });
  }

  async segmentAll(onProgress) {
    for (let frame = 0; frame < this.frames; frame++) {
      if (!this.results.has(frame)) await this.segment(frame, false);
      onProgress(frame + 1);
    }
  }

  // Load all frames of a clip. A video may have fewer frames than its header states.
  async load(onProgress) {
    for (let frame = 0; frame < this.frames; frame += CHUNK) {
      const response = await api.frames({ file: this.file, frame, count: CHUNK }).catch((error) => {
        if (error.status === 422 && frame) return { images: [], ended: true };
        throw error;
      });
      response.images.forEach((text, n) => (this.images[frame + n] ??= api.pngBlob(text)));
      if (response.ended) this.frames = Math.max(frame + response.images.length, 1);
      onProgress();
    }
  }

  // The attention maps of the current frame, requested on demand.
  async attention() {
    const at = this.current;
    if (at && !at.record.attention) {
      const { file, frame } = this.upload();
      const response = await api.segment({ files: file, frame, parts: ["attention"] });
      at.record.attention = response.results[0].attention;
    }
    return at?.record.attention;
  }

  // Measure an edited mask. False if a later edit has replaced it. If the request fails, the frame
  // has no measurements: those of an earlier mask would be wrong.
  async measure(frame = this.frame) {
    const at = this.results.get(frame), edit = (at.edit = (at.edit ?? 0) + 1);
    if (!at.mask.edited) {
      Object.assign(at, { contours: at.automatic.contours.slice(), lesions: at.automatic.lesions, measured: true });
      return true;
    }
    try {
      const mask = await at.mask.toPng();
      const size = { rows: at.mask.rows, columns: at.mask.columns };
      const source = this.kind === "dicom" ? this.upload(frame) : size;
      const { contours, lesions } = await api.measure({ ...source, mask, spacing_mm: this.spacing });
      if (edit === at.edit) Object.assign(at, { contours, lesions, measured: true });
    } catch (error) {
      if (edit === at.edit) Object.assign(at, { contours: [], lesions: [], measured: false });
      throw error;
    }
    return edit === at.edit;
  }

  // Segment and measure again with another pixel spacing. Corrections and calipers are kept.
  async rescale(spacing) {
    const [results, oldSpacing] = [this.results, this.spacing];
    const previous = [...results].filter(([frame, at]) => frame === this.frame || at.mask.edited || at.calipers.length);
    [this.results, this.spacing] = [new Map(), spacing];
    try {
      for (const [frame, { mask, calipers }] of previous) {
        const at = await this.segment(frame);
        if (mask.edited) {
          at.mask = mask;
          await this.measure(frame);
        }
        at.calipers = calipers.map(({ ends }) => ({ ends, text: this.distance(...ends, at) }));
      }
    } catch (error) {
      [this.results, this.spacing] = [results, oldSpacing]; // corrections must not be lost
      throw error;
    }
    return true;
  }

  // The current frame as a file with the name of this case: {blob, name}.
  async export(kind) {
    const at = this.current, upload = this.upload(), frame = this.frame, spacing_mm = this.spacing; // before any wait
    const mask = at.mask.edited ? await at.mask.toPng() : undefined;
    const kept = kind === "correction" ? at.kept : undefined;
    const { blob, suffix } = await api.exportFile(kind, { ...upload, mask, kept, spacing_mm });
    return { blob: await labelled(kind, blob, this.name, frame), name: exportName(this.name, this.isClip ? frame : null, suffix) };
  }

  // [row, col] millimetres per pixel at a [row, col] position, or null if unknown.
  spacingAt([row, col], at) {
    const scan = at?.record.scans.find(({ box }) => row >= box[0] && row <= box[2] && col >= box[1] && col <= box[3]);
    return scan?.spacing_mm ?? null;
  }

  // A distance in mm; in px if the spacing is unknown, or differs between the two ends.
  distance(a, b, at = this.current) {
    const spacing = this.spacingAt(a, at), other = this.spacingAt(b, at);
    const [rows, cols] = [b[0] - a[0], b[1] - a[1]];
    if (spacing && other && spacing[0] === other[0] && spacing[1] === other[1]) return `${Math.hypot(rows * spacing[0], cols * spacing[1]).toFixed(1)} mm`;
    return `${Math.hypot(rows, cols).toFixed(1)} px`;
  }
}
