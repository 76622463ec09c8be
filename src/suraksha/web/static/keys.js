// Keyboard shortcuts. Single-key shortcuts can be disabled, and are ignored in text fields.

import { byId } from "./panel.js";

const TOOLS = { w: "window", h: "pan", m: "caliper", c: "contour", b: "brush", e: "erase" };

export class Keys {
  constructor(tools, view, { actions, cine, render, showAttention }) {
    this.tools = tools;
    this.lastMap = "";
    const press = (id) => { if (!byId(id).disabled) actions[id](); };
    this.keys = {
      "+": actions["zoom-in"], "=": actions["zoom-in"], "-": actions["zoom-out"], "0": actions.fit,
      "[": () => this.resizeBrush(-2), "]": () => this.resizeBrush(2),
      ",": () => cine.step(-1), ".": () => cine.step(1), " ": () => cine.toggle(),
      o: () => { view.show.all = !view.show.all; render(); },
      a: () => { this.toggleMap(); showAttention(); },
      "?": actions["help-open"],
    };
    document.addEventListener("keydown", (event) => {
      const onImage = event.target === view.canvas;
      if ((event.ctrlKey || event.metaKey) && ["z", "y"].includes(event.key.toLowerCase())) {
        if (event.target.matches("input[type=number], input[type=password]")) return;
        event.preventDefault();
        press(event.shiftKey || event.key.toLowerCase() === "y" ? "redo" : "undo");
      } else if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
      else if (onImage && tools.key(event)) event.preventDefault();
      else if (byId("letters").checked && this.isShortcut(event)) this.single(event);
    });
  }

  isShortcut({ target, key }) {
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

  resizeBrush(by) {
    const slider = byId("brush");
    slider.value = Number(slider.value) + by;
    this.tools.setRadius(Number(slider.value));
  }

  toggleMap() {
    const select = byId("map");
    if (select.value) [this.lastMap, select.value] = [select.value, ""];
    else select.value = this.lastMap || (select.options[select.options.length - 1]?.value ?? "");
  }
}
