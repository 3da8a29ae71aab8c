// The explorer of chapter 15: an image, its certified radius, and the reader who attacks it.

/** @import { Setting } from "./explorer.js" */
import { Announcer } from "./announcer.js";
import { project } from "./attack.js";
import { AttackPanel } from "./attack_panel.js";
import { choice, labelled, slider } from "./controls.js";
import { enlarged, SIDE, touched } from "./digit_pad.js";
import { Easel } from "./easel.js";
import { element } from "./element.js";
import { explorer } from "./explorer.js";
import { short } from "./numbers.js";

const MOST = 60, PER_RADIUS = 20; // the slider ends at three radii
const PLAIN = 0.3; // in place of R where nothing is certified
const BRUSH = 1.5, DROP = 0.35; // of the attack by hand: its width in pixels, and its ink

class AttackExplorer {
  /** @param {Setting} setting */
  constructor({ root, note, images, networks, headers, message, fail }) {
    const { shape } = headers[0];
    this.images = images;
    this.fail = fail;
    this.running = false;
    this.chosen = 0;
    this.squares = new Float64Array(SIDE * SIDE);
    this.image = images[0].data;
    this.change = this.image.map(() => 0); // by hand, before it is scaled into the ball
    this.pad = new Easel("Your digit: arrow keys move, plus and minus paint", shape, 3, (...at) => this.drawDigit(...at));
    this.panels = networks.map((network, i) => new AttackPanel(network, headers[i], (...at) => this.brush(...at)));
    this.list = choice([...images.map(({ name }) => name), "draw your own"], (i) => this.choose(i));
    this.slider = slider(MOST, () => this.move());
    this.slider.value = String(PER_RADIUS - 1);
    this.reading = element("output");
    this.wipes = element("input", { type: "checkbox", autocomplete: "off" });
    this.go = button("Attack by gradients", () => (this.running ? this.stop() : this.attack().catch(fail)));
    this.erase = button("Start over", () => this.reset());
    this.announcer = new Announcer(() => this.text());
    root.classList.add("fs-attack");
    root.append(
      element("figure", { class: "fs-picture" }, this.pad.root), this.layOut(message),
      element("div", { class: "fs-panels" }, ...this.panels.map((panel) => panel.root)),
      element("p", { class: "fs-note" }, note), this.announcer.root);
    this.choose(0);
  }

  /** @param {HTMLElement} message */
  layOut(message) {
    const mark = button("R", () => {
      this.slider.value = String(PER_RADIUS);
      this.move();
    });
    mark.style.left = `${(100 * PER_RADIUS) / MOST}%`;
    const level = labelled("Distance r of the attack", this.slider, this.reading,
      element("div", { class: "fs-marks" }, mark));
    level.classList.add("fs-dial");
    return element(
      "div", { class: "fs-choices" }, labelled("Image", this.list),
      element("label", { class: "fs-check" }, this.wipes, " the brush takes ink away"), level,
      element("div", { class: "fs-player" }, this.go, this.erase), message);
  }

  /**
   * Another image, the last of them the reader's own.
   *
   * @param {number} index
   */
  choose(index) {
    this.chosen = index;
    this.list.selectedIndex = index;
    const own = index === this.images.length;
    this.pad.open(own);
    const name = own ? "Your digit: arrow keys move, plus and minus paint" : this.images[index].name;
    this.pad.canvas.setAttribute("aria-label", name);
    this.begin(own ? enlarged(this.squares) : this.images[index].data);
  }

  /**
   * @param {Float64Array} image
   */
  begin(image) {
    this.stop();
    this.image = image;
    this.change = image.map(() => 0);
    this.pad.show(image);
    this.ready = Promise.all(this.panels.map((panel) => panel.begin(image)));
    this.ready.then(() => this.image === image && this.read()).catch(this.fail);
  }

  /** Forgets the changes, and a drawing. */
  reset() {
    this.squares = new Float64Array(SIDE * SIDE);
    this.choose(this.chosen);
  }

  /** R, or what stands for it where nothing is certified. */
  unit() {
    return this.panels[0].radius || PLAIN;
  }

  /** The distance that the slider is at. */
  distance() {
    return (Number(this.slider.value) / PER_RADIUS) * this.unit();
  }

  /** Another distance. */
  move() {
    this.stop();
    this.read();
  }

  /** Shows the distance, and the copy in its ball. */
  read() {
    const r = this.distance();
    const said = short(r) + (this.panels[0].radius ? ` = ${Number(this.slider.value) / PER_RADIUS} R` : "");
    this.reading.textContent = short(r);
    this.slider.setAttribute("aria-valuetext", said);
    this.refresh(false);
  }

  /**
   * Shows the copy that the reader has changed.
   *
   * @param {boolean} counts whether it is a try
   */
  refresh(counts) {
    const copy = project(this.image, this.image.map((z, at) => z + this.change[at]), this.distance());
    for (const panel of this.panels) panel.show(copy, counts).catch(this.fail);
    this.announcer.changed();
  }

  /**
   * A touch of the pen on the reader's digit.
   *
   * @param {number} row
   * @param {number} column
   * @param {number} ink
   */
  drawDigit(row, column, ink) {
    this.squares = touched(this.squares, row, column, ink || this.ink());
    this.begin(enlarged(this.squares));
  }

  /**
   * A touch of the brush on the copies; what it does is scaled into the ball.
   *
   * @param {number} row
   * @param {number} column
   * @param {number} ink
   */
  brush(row, column, ink) {
    this.stop();
    const side = Math.sqrt(this.change.length), add = DROP * (ink || this.ink());
    this.change = this.change.map((z, at) => {
      const far = Math.hypot(Math.floor(at / side) + 0.5 - row, (at % side) + 0.5 - column) / BRUSH;
      return Math.max(-1, Math.min(1, z + add * Math.exp(-far * far)));
    });
    this.refresh(true);
  }

  ink() {
    return this.wipes.checked ? -1 : 1;
  }

  /** Descents for both networks, each until it finds another answer. */
  async attack() {
    this.running = true;
    this.go.textContent = "Stop";
    const mine = (this.job = {});
    const goesOn = () => this.job === mine && this.running;
    await this.ready; // the radii may not be known yet
    if (!goesOn()) return;
    await Promise.all(this.panels.map((panel) => panel.attack(this.distance(), goesOn)));
    if (goesOn()) this.stop();
    this.announcer.changed();
  }

  stop() {
    this.running = false;
    this.go.textContent = "Attack by gradients";
  }

  /** For a screen reader: what the networks say, and what attacks have found. */
  text() {
    return this.panels.map(({ words, inside, beyond }) =>
      `${words} ${inside.textContent} ${beyond.textContent}`).join(" ");
  }
}

/**
 * @param {string} text
 * @param {() => void} pressed
 */
function button(text, pressed) {
  const made = element("button", { type: "button", class: "fs-button" }, text);
  made.addEventListener("click", pressed);
  return made;
}

export default explorer((setting) => new AttackExplorer(setting));
