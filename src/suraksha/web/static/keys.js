// The keyboard. Single keys can be switched off, and are left alone where one types.

import { byId } from "./panel.js";

const TOOLS = { w: "window", h: "pan", m: "caliper", c: "contour", b: "brush", e: "erase" };

export class Keys {
  constructor(tools, view, { act, cine, draw, heat }) {
    this.tools = tools;
    this.map = "";
    const press = (id) => { if (!byId(id).disabled) act[id](); };
    this.keys = {
      "+": act["zoom-in"], "=": act["zoom-in"], "-": act["zoom-out"], "0": act.fit,
      "[": () => this.brush(-2), "]": () => this.brush(2),
      ",": () => cine.step(-1), ".": () => cine.step(1), " ": () => cine.toggle(),
      o: () => { view.show.all = !view.show.all; draw(); },
      a: () => { this.nextMap(); heat(); },
      "?": act["help-open"],
    };
    document.addEventListener("keydown", (event) => {
      const onImage = event.target === view.canvas;
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
        if (event.target.matches("input[type=number], input[type=password]")) return;
        event.preventDefault();
        press(event.shiftKey ? "redo" : "undo");
      } else if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
      else if (onImage && tools.key(event)) event.preventDefault();
      else if (byId("letters").checked && this.free(event)) this.single(event);
    });
  }

  free({ target, key }) {
    if (target.matches("input:not([type=radio], [type=checkbox], [type=range]), select")) return false;
    return !(key === " " && target.matches("button, input"));
  }

  single(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (TOOLS[key]) {
      document.querySelector(`input[value=${TOOLS[key]}]`).checked = true;
      this.tools.choose(TOOLS[key]);
    } else if (this.keys[key]) this.keys[key]();
    else return;
    event.preventDefault();
  }

  brush(by) {
    const slider = byId("brush");
    slider.value = Number(slider.value) + by;
    this.tools.setRadius(Number(slider.value));
  }

  nextMap() {
    const select = byId("map");
    if (select.value) [this.map, select.value] = [select.value, ""];
    else select.value = this.map || (select.options[select.options.length - 1]?.value ?? "");
  }
}
