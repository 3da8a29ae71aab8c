// The explorer of chapter 14: an image, a noise and its level, and what networks make of it.

/** @import { Setting } from "./explorer.js" */
/** @import { Choice } from "./noise_controls.js" */
/** @import { Kind } from "./noise_kinds.js" */
/** @import { Answer, Scene } from "./noise_panel.js" */
/** @import { Direction } from "./survey.js" */
import { Announcer } from "./announcer.js";
import { draw } from "./canvas.js";
import { element } from "./element.js";
import { explorer } from "./explorer.js";
import { NoiseControls } from "./noise_controls.js";
import { KINDS } from "./noise_kinds.js";
import { NoisePanel } from "./noise_panel.js";
import { short } from "./numbers.js";
import { readPicture } from "./picture.js";

const QUIET = 250; // milliseconds without a move of the slider, after which the page searches
const SEEDS = 100; // whose levels are compared

class NoiseExplorer {
  /** @param {Setting} setting */
  constructor({ root, note, images, networks, headers, message, fail }) {
    this.images = images;
    this.message = message;
    this.fail = fail;
    this.shape = headers[0].shape;
    this.moved = 0; // when the slider was moved last
    this.inView = false;
    /** @type {((_: undefined) => void)[]} */
    this.sleepers = []; // what waits until it is
    this.canvas = element("canvas", { role: "img", "aria-label": images[0].name });
    this.caption = element("figcaption");
    this.announcer = new Announcer(() => this.text());
    this.panels = networks.map((network, i) => new NoisePanel(network, headers[i]));
    this.controls = new NoiseControls(images.map(({ name }) => name), message, {
      choose: (change) => this.choose(change),
      move: () => this.refresh(),
      take: (file) => this.take(file),
      invert: () => this.invert(),
    });
    const figure = element("figure", { class: "fs-picture" }, this.canvas, this.caption);
    root.classList.add("fs-noise");
    root.append(
      this.controls.choices,
      element("div", { class: "fs-held" }, figure, this.controls.level),
      element("div", { class: "fs-panels" }, ...this.panels.map((panel) => panel.root)),
      element("p", { class: "fs-note" }, note), this.announcer.root);
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      this.take(event.dataTransfer?.files[0]);
    });
    new IntersectionObserver((seen) => {
      this.inView = seen[seen.length - 1].isIntersecting;
      if (this.inView) for (const wake of this.sleepers.splice(0)) wake(undefined);
    }).observe(root);
    this.scene = this.makeScene();
    this.choose({ kind: 0 });
  }

  /**
   * Another image, kind of noise, second picture or seed.
   *
   * @param {Partial<Choice>} change
   */
  choose(change) {
    this.message.textContent = "";
    this.controls.choose(change);
    this.controls.offer(this.images[this.controls.choice.image].inverted);
    this.scene = this.makeScene();
    this.refresh();
  }

  /** @returns {Scene} what the reader has chosen */
  makeScene() {
    const { image, kind, ghost, seed } = this.controls.choice;
    const { data, label, name } = this.images[image];
    const direction = KINDS[kind].structured ? { direction: this.images[ghost].data } : { seed };
    return { noise: { image: data, ...direction }, label, name };
  }

  /** Asks the networks for the level at which the slider is. */
  refresh() {
    this.moved = performance.now();
    const wanted = { scene: this.scene, level: this.controls.read() };
    const kind = KINDS[this.controls.choice.kind];
    this.panels.forEach((panel, i) => {
      const shown = (/** @type {Answer} */ answer) => {
        if (i === 0) this.show(answer, wanted.scene);
        this.announcer.changed();
        panel.search(kind, this.directions(kind), () => this.quiet()).catch(this.fail);
      };
      panel.refresh(wanted, shown).catch(this.fail);
    });
  }

  /**
   * @param {Answer} answer
   * @param {Scene} scene
   */
  show({ image, moved }, { name }) {
    draw(this.canvas, image, this.shape);
    this.canvas.setAttribute("aria-label", `${name} with noise, ${this.reading()}`);
    this.caption.textContent = `moved by ‖η‖ = ${short(moved)}`;
  }

  /**
   * The noises whose levels are compared: of many seeds, or all second pictures.
   *
   * @param {Kind} kind
   * @returns {Direction[]}
   */
  directions({ structured }) {
    if (structured) return this.images.map(({ data }) => ({ direction: data }));
    return Array.from({ length: SEEDS }, (_, seed) => ({ seed }));
  }

  /** Waits until the slider has not been moved for a while, and the explorer is in view. */
  async quiet() {
    if (!this.inView) await new Promise((resolve) => this.sleepers.push(resolve));
    for (let rest; (rest = this.moved + QUIET - performance.now()) > 0; )
      await new Promise((resolve) => setTimeout(resolve, rest));
  }

  reading() {
    return this.controls.reading.textContent;
  }

  /** For a screen reader: what the networks say, once all have answered. */
  text() {
    if (this.panels.some(({ answer }) => answer === "")) return "";
    const answers = this.panels.map((panel) => `${panel.header.name}: ${panel.answer}.`);
    return `${this.reading()}. ${answers.join(" ")}`;
  }

  /** The reader's own picture, black for white: the networks may know only one of the two. */
  invert() {
    const { image } = this.controls.choice;
    const { data, inverted, ...same } = this.images[image];
    this.images[image] = { ...same, inverted: !inverted, data: data.map((z) => 1 - z) };
    this.choose({});
  }

  /**
   * A picture file that the reader has chosen.
   *
   * @param {File | undefined} file
   */
  async take(file) {
    if (!file) return;
    try {
      const data = await readPicture(file, this.shape);
      this.images.push({ name: `yours: ${file.name}`, label: null, data, inverted: false });
    } catch (error) {
      this.fail(/** @type {Error} */ (error));
      return;
    }
    const image = this.images.length - 1;
    this.controls.add(this.images[image].name);
    this.choose({ image });
  }
}

export default explorer((setting) => new NoiseExplorer(setting));
