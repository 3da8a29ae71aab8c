// What one network answers to an image and to an attacked copy of it, and what attacks have found.

/** @import { Header } from "./network.js" */
/** @import { RemoteNetwork } from "./remote_network.js" */
import { length } from "./attack.js";
import { ROOM } from "./certificate.js";
import { Easel } from "./easel.js";
import { element } from "./element.js";
import { short } from "./numbers.js";
import { answer } from "./verdict.js";

const STEPS = 30; // of a descent
const DESCENTS = 40; // of an attack

/** @typedef {{ tries: number, found: number, first: number }} Tally */

export class AttackPanel {
  /**
   * @param {RemoteNetwork} network
   * @param {Header} header
   * @param {(row: number, column: number, ink: number) => void} paint on the copy
   */
  constructor(network, header, paint) {
    this.network = network;
    this.header = header;
    /** @type {Float64Array} */
    this.image = new Float64Array(0);
    this.clean = 0; // the answer for the image
    this.radius = 0;
    this.seed = 0; // of the next descent
    /** @type {Float64Array | undefined} */
    this.wanted = undefined; // the newest copy
    this.busy = false;
    this.round = 0; // another one for another image or attack
    this.words = ""; // for a screen reader
    this.easel = new Easel(
      `The copy for ${header.name}: arrow keys move, plus and minus paint`, header.shape, 2, paint);
    this.certified = element("p", { class: "fs-moved" });
    this.verdict = element("strong");
    this.moved = element("p", { class: "fs-moved" });
    this.inside = element("p", { class: "fs-tally" });
    this.beyond = element("p", { class: "fs-tally" });
    this.bars = header.classes.map(makeBar);
    /** @type {Tally} */
    this.within = { tries: 0, found: 0, first: 0 };
    /** @type {Tally} */
    this.without = { tries: 0, found: 0, first: 0 };
    const { name, variant } = header;
    this.root = element(
      "div", { class: "fs-panel", role: "group", "aria-label": name, "data-variant": variant },
      element("p", { class: "fs-name" }, name), this.certified, this.easel.root,
      element("p", { class: "fs-verdict" }, this.verdict), this.moved,
      element(
        "table", { class: "fs-bars" },
        element("caption", { class: "fs-hidden" }, `Scores of ${name} for the copy`),
        element("tbody", {}, ...this.bars.map(({ row }) => row))),
      this.inside, this.beyond);
  }

  /** Forgets what attacks have found. */
  clear() {
    this.within = { tries: 0, found: 0, first: 0 };
    this.without = { tries: 0, found: 0, first: 0 };
    this.seed = 0;
  }

  /**
   * Another image; resolves when its radius is known.
   *
   * @param {Float64Array} image
   */
  async begin(image) {
    const round = ++this.round;
    const { scores, radius } = await this.network.ask("certify", { image });
    if (round !== this.round) return;
    this.clear();
    this.image = image;
    this.clean = answer(scores);
    this.radius = radius;
    this.certified.textContent = radius > 0 ? `R = ${short(radius)} is certified` : "nothing is certified";
    this.root.dataset.radius = String(radius);
  }

  /**
   * Shows the answer to the newest copy; those that came while it computed are left out.
   *
   * @param {Float64Array} copy
   * @param {boolean} counts whether it is a try
   */
  async show(copy, counts) {
    this.wanted = copy;
    if (this.busy) return;
    this.busy = true;
    try {
      for (let shown; shown !== this.wanted; ) {
        shown = this.wanted;
        const { scores } = await this.network.ask("certify", { image: shown });
        this.display(shown, scores);
        if (counts) this.count(shown, scores, 1);
      }
    } finally {
      this.busy = false;
    }
  }

  /**
   * Descents in the ball of a radius until one finds another answer, or `goesOn` says no.
   *
   * @param {number} radius
   * @param {() => boolean} goesOn
   */
  async attack(radius, goesOn) {
    const { round, image } = this, still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    for (let n = 0; n < DESCENTS; n++) {
      const found = await this.network.ask("attack", { image, radius, seed: this.seed++, steps: STEPS });
      if (round !== this.round || !goesOn()) return;
      this.wanted = found.image;
      if (!still || found.found || n === DESCENTS - 1) this.display(found.image, found.scores);
      this.count(found.image, found.scores, found.tries + 1);
      if (found.found) return;
    }
  }

  /** @param {Float64Array} copy */
  distance(copy) {
    return length(copy.map((z, at) => z - this.image[at]));
  }

  /**
   * @param {Float64Array} copy
   * @param {Float64Array} scores
   * @param {number} tries
   */
  count(copy, scores, tries) {
    const distance = this.distance(copy);
    const tally = distance * (1 + ROOM) < this.radius ? this.within : this.without;
    if (distance === 0) return;
    tally.tries += tries;
    if (answer(scores) !== this.clean) {
      if (tally.found === 0) tally.first = distance;
      tally.found++;
    }
    this.report();
  }

  report() {
    const { within, without, radius } = this;
    this.inside.textContent = radius > 0
      ? `Inside R: ${plural(within.tries, "try", "tries")}, ${within.found} successful`
      : "";
    const first = without.found ? `, the first at ${short(without.first)}${this.inRadii(without.first)}` : "";
    const where = radius > 0 ? "Beyond R: " : "";
    this.beyond.textContent = `${where}${plural(without.tries, "try", "tries")}, ${without.found} successful${first}`;
    Object.assign(this.root.dataset, {
      inside: `${within.tries} ${within.found}`, beyond: `${without.tries} ${without.found}`,
    });
  }

  /** @param {number} distance */
  inRadii(distance) {
    return this.radius > 0 ? ` = ${(distance / this.radius).toFixed(2)} R` : "";
  }

  /**
   * @param {Float64Array} copy
   * @param {Float64Array} scores
   */
  display(copy, scores) {
    const { classes } = this.header, distance = this.distance(copy), best = answer(scores);
    const least = Math.min(...scores), spread = Math.max(...scores) - least || 1;
    this.bars.forEach(({ row, bar, value }, k) => {
      bar.style.width = `${(100 * (scores[k] - least)) / spread}%`;
      value.textContent = below(scores[best] - scores[k]);
      row.className = k === this.clean ? "fs-label" : "";
    });
    this.easel.show(copy);
    const promised = distance * (1 + ROOM) < this.radius;
    const said = best !== this.clean ? `${classes[this.clean]} has become ${classes[best]}` : `${classes[best]}, as before`;
    const why = distance === 0 ? "" : promised ? ": certain" : best === this.clean ? ": no promise" : "";
    this.verdict.textContent = distance === 0 ? `the answer is ${classes[best]}` : said + why;
    this.moved.textContent = `moved by ${short(distance)}${this.inRadii(distance)}`;
    this.words = `${this.header.name}: ${this.verdict.textContent}, ${this.moved.textContent}.`;
    Object.assign(this.root.dataset, { shown: String(distance), answer: String(best), clean: String(this.clean) });
    this.report();
  }
}

/**
 * By how much a score is below the largest one.
 *
 * @param {number} gap
 */
function below(gap) {
  return gap === 0 ? "0" : `−${gap.toFixed(gap < 1 ? 3 : 1)}`;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} many
 */
function plural(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
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
  return { row: element("tr", {}, element("th", { scope: "row" }, name), track, value), bar, value };
}
