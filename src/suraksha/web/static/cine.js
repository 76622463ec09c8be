// Frames of a clip: play, stop, step and scrub.

import { byId } from "./panel.js";

const REST_MS = 350; // how long a frame must be looked at before it is segmented

export class Cine {
  constructor(host) {
    this.host = host;
    this.case = null;
    this.timer = this.resting = null;
    byId("play").addEventListener("click", () => this.toggle());
    byId("frame").addEventListener("input", () => { this.stop(); this.go(Number(byId("frame").value)); });
  }

  open(one) {
    this.case = one;
    byId("cine").hidden = !one.cine;
    byId("fps").value = Math.round(one.fps ?? 25);
    this.told(one);
  }

  told(one, loaded) {
    if (loaded !== undefined) this.loaded = loaded;
    byId("cine").hidden = !one.cine;
    byId("frame").max = one.frames - 1;
    byId("frame").value = one.frame;
    byId("frame").setAttribute("aria-valuetext", `frame ${one.frame + 1} of ${one.frames}`);
    byId("frame-text").textContent = `${one.frame + 1} / ${one.frames}`;
  }

  go(frame) {
    const one = this.case;
    if (!one?.cine) return;
    this.host.show((frame + one.frames) % one.frames);
    clearTimeout(this.resting);
    if (!this.timer) this.resting = setTimeout(() => this.host.rest(), REST_MS);
  }

  step(by) {
    if (!this.case?.cine) return;
    this.stop();
    this.go(this.case.frame + by);
  }

  toggle() {
    if (this.timer) this.stop(true);
    else if (this.case?.cine) this.play();
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

  stop(rest = false) {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = null;
    byId("play").textContent = "Play";
    byId("play").setAttribute("aria-pressed", "false");
    if (rest) this.host.rest();
  }
}
