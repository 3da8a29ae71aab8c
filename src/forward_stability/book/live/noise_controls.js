// What the reader chooses in the noise explorer.

import { addOption, choice, labelled, slider } from "./controls.js";
import { element } from "./element.js";
import { KINDS } from "./noise_kinds.js";

/** @typedef {{ image: number, kind: number, ghost: number, seed: number }} Choice */

/**
 * What the controls call: after another choice, after a move of the level, with a picture file, to
 * turn black and white round.
 *
 * @typedef {object} Listener
 * @property {(change: Partial<Choice>) => void} choose
 * @property {() => void} move
 * @property {(file: File | undefined) => Promise<void>} take
 * @property {() => void} invert
 */

export class NoiseControls {
  /**
   * @param {string[]} names of the images
   * @param {HTMLElement} message for the reader
   * @param {Listener} listener
   */
  constructor(names, message, { choose, move, take, invert }) {
    /** @type {Choice} */
    this.choice = { image: 0, kind: 0, ghost: names.length > 1 ? 1 : 0, seed: 0 };
    this.image = choice(names, (image) => choose({ image }));
    this.kind = choice(KINDS.map(({ name }) => name), (kind) => choose({ kind }));
    this.ghost = choice(names, (ghost) => choose({ ghost }));
    this.ghost.selectedIndex = this.choice.ghost;
    this.again = element("button", { type: "button", class: "fs-button" }, "New noise");
    this.again.addEventListener("click", () => choose({ seed: this.choice.seed + 1 }));
    this.seed = element("span", { class: "fs-seed" });
    this.slider = slider(0, move);
    this.reading = element("span", { class: "fs-reading", "aria-hidden": "true" });
    this.file = element("input", { type: "file", accept: "image/*", class: "fs-hidden" });
    this.file.addEventListener("change", () =>
      take(this.file.files?.[0]).finally(() => (this.file.value = "")));
    this.inverted = element("input", { type: "checkbox", autocomplete: "off" });
    this.inverted.addEventListener("change", invert);
    this.invertedControl = element("label", { class: "fs-check" }, this.inverted, " black on white: invert");
    this.ghostControl = labelled("Second picture x₀", this.ghost);
    this.seedControl = element("div", { class: "fs-control fs-again" }, this.again, this.seed);
    this.level = labelled("Level", this.slider, this.reading);
    this.level.classList.add("fs-level");
    this.choices = this.layOut(message);
  }

  /** @param {HTMLElement} message */
  layOut(message) {
    const own = element("label", { class: "fs-button fs-file" }, this.file, "Your own picture …");
    return element(
      "div", { class: "fs-choices" },
      labelled("Image", this.image),
      element("div", { class: "fs-control fs-own" }, own, this.invertedControl),
      labelled("Noise", this.kind), this.ghostControl, this.seedControl, message);
  }

  /**
   * Shows another choice. Another kind of noise begins at level 0.
   *
   * @param {Partial<Choice>} change
   */
  choose(change) {
    Object.assign(this.choice, change);
    const { most, step, structured } = KINDS[this.choice.kind];
    this.ghostControl.hidden = !structured;
    this.seedControl.hidden = structured;
    this.seed.textContent = `seed ${this.choice.seed}`;
    if ("kind" in change) {
      this.slider.max = String(Math.round(most / step));
      this.slider.value = "0";
    }
  }

  /** The level at which the slider is; it is shown. */
  read() {
    const { symbol, step } = KINDS[this.choice.kind];
    const level = Number((Number(this.slider.value) * step).toFixed(3));
    const text = `${symbol} = ${level}`;
    this.reading.textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
    return level;
  }

  /**
   * Offers to invert a picture of the reader's own.
   *
   * @param {boolean | undefined} inverted whether it is; undefined for another picture
   */
  offer(inverted) {
    this.invertedControl.hidden = inverted === undefined;
    this.inverted.checked = inverted === true;
  }

  /**
   * One more image, which is chosen.
   *
   * @param {string} name
   */
  add(name) {
    addOption(this.image, name);
    addOption(this.ghost, name);
    this.image.selectedIndex = this.image.length - 1;
  }
}
