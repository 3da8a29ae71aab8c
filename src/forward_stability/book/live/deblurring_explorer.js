// The explorer of chapter 16: a blurred photograph, and what plug-and-play makes of it with two
// denoisers, step by step.

/** @import { Deblurring } from "./deblurring.js" */
/** @import { Setting } from "./explorer.js" */
/** @import { Mark, Point } from "./plot.js" */
import { Announcer } from "./announcer.js";
import { draw } from "./canvas.js";
import { choice, labelled, slider } from "./controls.js";
import { constant } from "./deblurring.js";
import { element } from "./element.js";
import { explorer } from "./explorer.js";
import { standardNormal } from "./normal.js";
import { short } from "./numbers.js";
import { ground, plot } from "./plot.js";
import { patch, shape } from "./svg.js";

const STEPS = 100, HEIGHT = 230;
const STRENGTHS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1], LEVELS = { from: 1e-4, to: 1000 };
let explorers = 0;

/**
 * Where the iteration may begin, from the blurred image and another photograph.
 *
 * @type {[string, (y: Float64Array, other: Float64Array) => Float64Array][]}
 */
const STARTS = [
  ["the blurred image", (y) => y],
  ["another photograph", (_, other) => other],
  ["noise", (y) => standardNormal(0, y.length).map((z) => Math.min(Math.max(0.5 + 0.3 * z, 0), 1))],
  ["black", (y) => y.map(() => 0)],
];

/** One denoiser: the images that it has led to, and the lengths of the steps between them. */
class Path {
  /**
   * @param {Setting["networks"][number]} network
   * @param {Setting["headers"][number]} header
   */
  constructor(network, { name, variant, shape: [, height, width], deblurring }) {
    this.network = network;
    this.name = name;
    this.look = variant;
    this.size = /** @type {[number, number, number]} */ ([1, height, width]);
    this.said = /** @type {Deblurring} */ (deblurring);
    /** @type {Float64Array[]} */
    this.images = [];
    /** @type {number[]} */
    this.lengths = [];
    /** @type {number | null} κ of a step */
    this.kappa = null;
    this.distance = 0;
    this.canvas = element("canvas", { role: "img" });
    this.reading = element("p", { class: "fs-length" });
    this.root = element(
      "figure", { class: "fs-picture", "data-variant": variant },
      element("figcaption", { class: "fs-name" }, name), this.canvas, this.reading);
  }

  /**
   * @param {Float64Array} x0
   * @param {number} strength
   */
  begin(x0, strength) {
    this.images = [x0];
    this.lengths = [];
    this.kappa = constant(this.said, strength);
    this.distance = Math.sqrt(x0.reduce((sum, z) => sum + Math.max(z, 1 - z) ** 2, 0)); // of x* at most
  }

  /**
   * One more step.
   *
   * @param {Float64Array} y
   * @param {number} strength
   */
  async go(y, strength) {
    const { images, lengths } = this, x = images[images.length - 1];
    const next = await this.network.ask("deblur", { x, y, strength });
    images.push(next);
    lengths.push(Math.sqrt(next.reduce((sum, z, i) => sum + (z - x[i]) ** 2, 0)));
  }

  /** What is proven of the length of step k, or null. @param {number} k */
  bound(k) {
    return this.kappa === null ? null : Math.sqrt(this.kappa / (k + 1)) * this.distance;
  }

  /**
   * Shows the image after so many steps, or the last one that there is.
   *
   * @param {number} wanted
   * @param {Float64Array} truth
   */
  show(wanted, truth) {
    const n = Math.min(wanted, this.lengths.length);
    draw(this.canvas, this.images[n], this.size);
    const error = this.images[n].reduce((sum, z, i) => sum + (z - truth[i]) ** 2, 0) / truth.length;
    const quality = `${(-10 * Math.log10(error)).toFixed(1)} dB.`;
    const most = n ? this.bound(n - 1) : null;
    const proven = most === null ? "Nothing is proven." : `At most ${short(most)} is proven.`;
    this.reading.textContent = n ? `${quality} Step ${n} was ${short(this.lengths[n - 1])} long. ${proven}` : quality;
    this.canvas.setAttribute("aria-label", `after ${n} steps with ${this.name}`);
    this.root.dataset.step = String(n);
  }

  /** @returns {Mark[]} the lengths, and the bound of each */
  marks() {
    const points = this.lengths.map((length, k) => /** @type {Point} */ ([k + 1, Math.max(length, LEVELS.from / 10)]));
    const bound = points.flatMap(([n]) => {
      const most = this.bound(n - 1);
      return most === null ? [] : [/** @type {Point} */ ([n, most])];
    });
    return [
      { kind: "line", points: bound, look: `${this.look} dashed` },
      { kind: "line", points, look: this.look },
    ];
  }
}

class DeblurringExplorer {
  /** @param {Setting} setting the images are a photograph and the same blurred, in turn */
  constructor({ root, note, images, networks, headers, fail }) {
    this.images = images;
    this.fail = fail;
    this.state = { image: 0, start: 0, strength: 1, steps: 20 };
    this.turn = 0; // how often the iteration has begun
    this.paths = networks.map((network, i) => new Path(network, headers[i]));
    this.truth = pictured("the photograph");
    this.given = pictured("what is given");
    this.strength = slider(STRENGTHS.length - 1, (strength) => this.choose({ strength }));
    this.strength.value = String(this.state.strength);
    this.steps = slider(STEPS, (steps) => this.move(steps));
    this.steps.value = String(this.state.steps);
    this.readings = [element("output"), element("output")];
    this.id = `fs-deblurring-${explorers++}`;
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.chart = element("div", { class: "fs-stage fs-chart" }, this.svg);
    this.announcer = new Announcer(() => this.text());
    root.classList.add("fs-deblurring");
    root.append(
      this.layOut(images.filter((_, i) => i % 2 === 0).map(({ name }) => name)),
      element("div", { class: "fs-panels" },
        this.truth.root, this.given.root, ...this.paths.map((path) => path.root)),
      this.chart, element("p", { class: "fs-note" }, note), this.announcer.root);
    new ResizeObserver(() => this.plot()).observe(this.chart);
    this.choose({});
  }

  /** @param {string[]} names of the photographs */
  layOut(names) {
    const dials = [
      labelled("Steps", this.steps, this.readings[0]),
      labelled("β, the strength of the denoisers", this.strength, this.readings[1]),
    ];
    for (const dial of dials) dial.classList.add("fs-dial");
    return element(
      "div", { class: "fs-controls" }, ...dials,
      labelled("Photograph", choice(names, (image) => this.choose({ image }))),
      labelled("Start from", choice(STARTS.map(([name]) => name), (start) => this.choose({ start }))));
  }

  /**
   * Another photograph, start or strength: the iteration begins anew.
   *
   * @param {Partial<DeblurringExplorer["state"]>} change
   */
  choose(change) {
    Object.assign(this.state, change);
    const { image, start, strength } = this.state, { images } = this;
    const [truth, y] = [images[2 * image].data, images[2 * image + 1].data];
    const x0 = STARTS[start][1](y, images[(2 * image + 2) % images.length].data);
    draw(this.truth.canvas, truth, this.paths[0].size);
    draw(this.given.canvas, y, this.paths[0].size);
    this.turn++;
    for (const path of this.paths) {
      path.begin(x0, STRENGTHS[strength]);
      this.follow(path, y, this.turn).catch(this.fail);
    }
    this.show();
  }

  /**
   * All steps of one denoiser, until the reader chooses otherwise.
   *
   * @param {Path} path
   * @param {Float64Array} y
   * @param {number} turn
   */
  async follow(path, y, turn) {
    const strength = STRENGTHS[this.state.strength];
    for (let k = 0; k < STEPS; k++) {
      const before = path.images;
      await path.go(y, strength);
      if (this.turn !== turn || before !== path.images) return;
      if (k < this.state.steps || k === STEPS - 1) this.show();
    }
  }

  /** @param {number} steps */
  move(steps) {
    this.state.steps = steps;
    this.show();
  }

  show() {
    const { image, steps, strength } = this.state;
    const said = [`${steps}`, `${STRENGTHS[strength]}`];
    [this.steps, this.strength].forEach((range, i) => {
      range.setAttribute("aria-valuetext", said[i]);
      this.readings[i].textContent = said[i];
    });
    for (const path of this.paths) path.show(steps, this.images[2 * image].data);
    this.plot();
    this.announcer.changed();
  }

  plot() {
    const width = this.chart.clientWidth || 320;
    const view = {
      title: "length of a step; dashed: what is proven",
      x: { from: 1, to: STEPS, label: "step", log: true },
      y: { ...LEVELS, log: true },
      marks: [...this.paths.flatMap((path) => path.marks()), ...this.line()],
    };
    const under = ground(view, { left: 0, top: 0, width, height: HEIGHT }, this.id);
    const attributes = { role: "img", "aria-label": view.title, width, height: HEIGHT };
    patch(this.svg, shape("svg", { ...attributes, viewBox: `0 0 ${width} ${HEIGHT}` }, plot(view, under)));
  }

  /** @returns {Mark[]} where the slider stands */
  line() {
    const { steps } = this.state;
    return [{ kind: "line", points: [[steps, LEVELS.from], [steps, LEVELS.to]], look: "accent thin" }];
  }

  /** For a screen reader: what is shown. */
  text() {
    return this.paths.map(({ name, reading }) => `${name}: ${reading.textContent}`).join(" ");
  }
}

/** @param {string} caption */
function pictured(caption) {
  const canvas = element("canvas", { role: "img", "aria-label": caption });
  const root = element("figure", { class: "fs-picture" }, element("figcaption", {}, caption), canvas);
  return { canvas, root };
}

export default explorer((setting) => new DeblurringExplorer(setting));
