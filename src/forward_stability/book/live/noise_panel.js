// What one network answers in the noise explorer, and how its features have moved.

/** @import { Header } from "./network.js" */
/** @import { Kind } from "./noise_kinds.js" */
/** @import { Direction } from "./survey.js" */
/** @import { RemoteNetwork } from "./remote_network.js" */
/** @import { Noise, Tasks } from "./tasks.js" */
import { element } from "./element.js";
import { Histogram } from "./histogram.js";
import { percent, short } from "./numbers.js";
import { Survey } from "./survey.js";
import { turningPoint } from "./turning_point.js";
import { answer, margin, softmax, verdict } from "./verdict.js";

/** @typedef {{ noise: Noise, name: string, label: number | null }} Scene an image and its noise */
/** @typedef {{ scene: Scene, level: number }} Request */
/** @typedef {ReturnType<Tasks["answer"]>} Answer */

export class NoisePanel {
  /**
   * @param {RemoteNetwork} network
   * @param {Header} header
   */
  constructor(network, header) {
    this.network = network;
    this.header = header;
    this.busy = false;
    /** @type {Request | undefined} */
    this.wanted = undefined; // the newest request
    /** @type {Scene | undefined} */
    this.scene = undefined; // what the worker has
    /** @type {Scene | undefined} */
    this.searched = undefined; // where the level was looked for at which the answer changes
    this.answer = "";
    this.verdict = element("strong");
    this.margin = element("p", { class: "fs-margin" });
    this.turning = element("p", { class: "fs-turning" });
    /** @type {Survey | undefined} */
    this.survey = undefined; // of the levels of many noises
    this.histogram = new Histogram();
    /** @type {number | null} */
    this.level = null; // at which the answer changes
    this.bars = header.classes.map(makeBar);
    this.stages = header.stages.map(makeStage);
    this.root = this.layOut();
  }

  layOut() {
    const { name, variant } = this.header;
    const head = ["after", "distance", "bound"].map((text) => element("th", { scope: "col" }, text));
    return element(
      "div", { class: "fs-panel", role: "group", "aria-label": name, "data-variant": variant },
      element("p", { class: "fs-name" }, name),
      element("p", { class: "fs-verdict" }, this.verdict),
      element(
        "table", { class: "fs-bars" },
        element("caption", { class: "fs-hidden" }, `Probabilities of ${name}`),
        element("tbody", {}, ...this.bars.map(({ row }) => row))),
      this.margin,
      this.turning,
      this.histogram.root,
      element(
        "details", {}, element("summary", {}, "Features have moved"),
        element(
          "table", { class: "fs-stages" },
          element("caption", { class: "fs-hidden" }, `How far the features of ${name} have moved`),
          element("thead", {}, element("tr", {}, ...head)),
          element("tbody", {}, ...this.stages.map(({ row }) => row)))));
  }

  /**
   * Shows the answer to the newest request; those that came while it computed are left out.
   *
   * @param {Request} wanted
   * @param {(answer: Answer, request: Request) => void} shown
   */
  async refresh(wanted, shown) {
    this.wanted = wanted;
    if (this.busy) return;
    this.busy = true;
    for (let answered; answered !== this.wanted; ) {
      answered = this.wanted;
      const { scene, level } = answered;
      if (this.scene !== scene) {
        this.searched = undefined;
        await this.network.ask("noise", scene.noise);
        this.scene = scene;
      }
      const found = await this.network.ask("answer", { level });
      this.show(found, answered);
      shown(found, answered);
    }
    this.busy = false;
  }

  /**
   * @param {Answer} answer
   * @param {Request} request
   */
  show({ scores, moved, distances }, { scene: { label }, level }) {
    const probabilities = softmax(scores);
    this.bars.forEach(({ row, bar, value }, k) => {
      bar.style.width = `${100 * probabilities[k]}%`;
      value.textContent = percent(probabilities[k]);
      row.className = k === label ? "fs-label" : "";
    });
    this.answer = verdict(scores, this.header.classes, label);
    this.verdict.textContent = this.answer;
    this.margin.textContent = `Margin of the score: ${short(margin(scores))}`;
    distances.forEach((distance, i) => {
      this.stages[i].moved.textContent = short(distance);
      this.stages[i].bound.textContent = short(this.header.stages[i].bound * moved);
    });
    this.root.dataset.level = String(level);
  }

  /**
   * Looks for the first level at which the answer is another, while the page is quiet, and then for
   * that of many noises.
   *
   * @param {Kind} kind
   * @param {Direction[]} directions of these noises
   * @param {() => Promise<void>} quiet
   */
  async search(kind, directions, quiet) {
    const { scene } = this;
    const { most, symbol } = kind;
    if (!scene || this.searched === scene) return;
    this.searched = scene;
    const { image } = scene.noise;
    if (!this.survey?.isOf(image, kind)) this.survey = new Survey(image, kind, directions);
    this.level = null;
    this.histogram.show(this.survey, this.level);
    this.turning.textContent = "Looking for the level at which the answer changes …";
    const found = await turningPoint(async (level) => {
      await quiet();
      if (this.searched !== scene) return -1; // which is another answer too
      return answer((await this.network.ask("answer", { level })).scores);
    }, most);
    if (this.searched !== scene) return;
    this.turning.textContent = found === null
      ? `The answer stays the same up to ${symbol} = ${most}.`
      : `The answer first changes at ${symbol} = ${short(found.level)}, ` +
        `to ${this.header.classes[found.answer]}.`;
    const { survey } = this;
    this.level = found ? found.level : null;
    this.histogram.show(survey, this.level);
    await survey.run(this.network, quiet, () => {
      if (this.survey !== survey) return false;
      this.histogram.show(survey, this.level);
      return true;
    });
  }
}

/**
 * The row of a class.
 *
 * @param {string} name
 */
function makeBar(name) {
  const bar = element("span", { class: "fs-bar" });
  const value = element("td", { class: "fs-value" });
  const track = element("td", { class: "fs-track", "aria-hidden": "true" }, bar);
  const row = element("tr", {}, element("th", { scope: "row" }, name), track, value);
  return { row, bar, value };
}

/**
 * The row of a stage of the network.
 *
 * @param {{ name: string }} stage
 */
function makeStage({ name }) {
  const moved = element("td"), bound = element("td");
  const row = element("tr", {}, element("th", { scope: "row" }, name), moved, bound);
  return { row, moved, bound };
}
