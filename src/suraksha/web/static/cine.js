// Frames of a clip: play, stop, step and scrub.

import { byId } from "./panel.js";

const SETTLE_MS = 350; // a frame is segmented once it has been shown for this long

export class Cine {
  // host: {show(frame), settle()}
  constructor(host) {
    this.host = host;
    this.case = null;
    this.timer = this.settling = null;
    byId("play").addEventListener("click", () => this.toggle());
    byId("frame").addEventListener("input", () => { this.stop(); this.go(Number(byId("frame").value)); });
  }

  get playing() { return this.timer !== null; }

  open(one) {
    this.case = one;
    byId("fps").value = Math.round(one.fps ?? 25);
    this.update(one);
  }

  update(one) {
    byId("cine").hidden = !one.isClip;
    byId("frame").max = one.frames - 1;
    byId("frame").value = one.frame;
    byId("frame").setAttribute("aria-valuetext", `frame ${one.frame + 1} of ${one.frames}`);
    byId("frame-text").textContent = `${one.frame + 1} / ${one.frames}`;
  }

  go(frame) {
    const one = this.case;
    if (!one?.isClip) return;
    this.host.show((frame + one.frames) % one.frames);
    clearTimeout(this.settling);
    if (!this.playing) this.settling = setTimeout(() => this.host.settle(), SETTLE_MS);
  }

  step(by) {
    if (!this.case?.isClip) return;
    this.stop();
    this.go(this.case.frame + by);
  }

  toggle() {
    if (this.playing) this.stop(true);
    else if (this.case?.isClip) this.play();
  }

  play() {
    byId("play").textContent = "Stop";
    byId("play").setAttribute("aria-pressed", "true");
    const next = () => {
      const one = this.case, frame = (one.frame + 1) % one.frames;
      if (one.images[frame]) this.go(frame);
      this.timer = setTimeout(next, 1000 / Math.max(Number(byId("fps").value) || 25, 1));
    };
    this.timer = setTimeout(next, 0);
  }

  stop(settle = false) {
    if (!this.playing) return;
    clearTimeout(this.timer);
    this.timer = null;
    byId("play").textContent = "Play";
    byId("play").setAttribute("aria-pressed", "false");
    if (settle) this.host.settle();
  }
}
