import { element } from "./element.js";

const REST = 750; // milliseconds

/** Says what is shown to a screen reader, once the reader's sliders rest. */
export class Announcer {
  /** @param {() => string} text what is shown */
  constructor(text) {
    this.text = text;
    this.root = element("p", { class: "fs-hidden", role: "status" });
    this.timer = 0;
  }

  /** Another thing is shown. */
  changed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.root.textContent = this.text()), REST);
  }
}
