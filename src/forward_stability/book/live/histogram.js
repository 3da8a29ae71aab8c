// The histogram of a survey, with the level of the noise that is shown.

/** @import { Mark, Point } from "./plot.js" */
/** @import { Survey } from "./survey.js" */
import { element } from "./element.js";
import { ground, plot } from "./plot.js";
import { patch, shape } from "./svg.js";

const BINS = 40;
const HEIGHT = 112; // pixels
let histograms = 0;

export class Histogram {
  constructor() {
    this.id = `fs-histogram-${histograms++}`;
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.text = element("p", { class: "fs-count" });
    this.root = element("div", { class: "fs-stage fs-histogram" }, this.svg, this.text);
    /** @type {() => void} */
    this.draw = () => {};
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  /**
   * @param {Survey} survey
   * @param {number | null} level of the noise that is shown
   */
  show(survey, level) {
    const marks = [...bars(survey), ...line(level)];
    const label = `${survey.kind.symbol} of the first change`;
    const view = {
      x: { from: 0, to: survey.kind.most, label },
      y: { from: 0, to: 1, bare: true },
      marks,
    };
    this.text.textContent = survey.text();
    this.draw = () => {
      const width = this.root.clientWidth || 320;
      const under = ground(view, { left: 0, top: 0, width, height: HEIGHT }, this.id);
      const drawing = plot(view, under);
      const attributes = { role: "img", "aria-label": `Histogram. ${survey.text()}`, width, height: HEIGHT };
      patch(this.svg, shape("svg", { ...attributes, viewBox: `0 0 ${width} ${HEIGHT}` }, drawing));
    };
    this.draw();
  }
}

/**
 * The highest bar is as high as the plot.
 *
 * @param {Survey} survey
 * @returns {Mark[]}
 */
function bars({ levels, kind: { most } }) {
  const counts = new Array(BINS).fill(0);
  for (const level of levels)
    if (level !== Infinity) counts[Math.min(BINS - 1, Math.floor((level / most) * BINS))]++;
  const highest = Math.max(1, ...counts);
  return counts.flatMap((count, i) => {
    const [left, right, top] = [(i * most) / BINS, ((i + 0.85) * most) / BINS, count / highest];
    const points = /** @type {Point[]} */ ([[left, 0], [left, top], [right, top], [right, 0]]);
    return count ? [/** @type {Mark} */ ({ kind: "area", points, look: "bar" })] : [];
  });
}

/**
 * @param {number | null} level
 * @returns {Mark[]}
 */
function line(level) {
  if (level === null) return [];
  return [{ kind: "line", points: [[level, 0], [level, 1]], look: "accent" }];
}
