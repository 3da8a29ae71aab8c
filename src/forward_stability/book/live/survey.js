// The levels at which an answer first changes, for many noises.

/** @import { Kind } from "./noise_kinds.js" */
/** @import { RemoteNetwork } from "./remote_network.js" */
import { short } from "./numbers.js";
import { turningPoint } from "./turning_point.js";

/** @typedef {{ seed: number } | { direction: Float64Array }} Direction of a noise */

export class Survey {
  /**
   * @param {Float64Array} image
   * @param {Kind} kind
   * @param {Direction[]} directions
   */
  constructor(image, kind, directions) {
    this.image = image;
    this.kind = kind;
    this.directions = directions;
    /** @type {number[]} */
    this.levels = []; // found so far; Infinity where the answer stays the same
    this.running = false;
  }

  /**
   * @param {Float64Array} image
   * @param {Kind} kind
   */
  isOf(image, kind) {
    return this.image === image && this.kind === kind;
  }

  /**
   * Goes through the noises while the page is quiet, one evaluation of the network at a time.
   *
   * @param {RemoteNetwork} network
   * @param {() => Promise<void>} quiet
   * @param {() => boolean} found is called after each noise; false ends the survey
   */
  async run(network, quiet, found) {
    if (this.running) return;
    this.running = true;
    for (const direction of this.directions) {
      const point = await turningPoint(async (level) => {
        await quiet();
        return network.ask("label", { image: this.image, level, ...direction });
      }, this.kind.most);
      this.levels.push(point ? point.level : Infinity);
      if (!found()) return;
    }
  }

  /** What has been found, in words. */
  text() {
    const { levels, directions, kind } = this;
    const n = levels.length;
    if (n === 0) return "";
    const sorted = [...levels].sort((a, b) => a - b);
    const [least, middle, largest] = [0, (n - 1) >> 1, n - 1].map((i) =>
      sorted[i] === Infinity ? `above ${kind.most}` : short(sorted[i]));
    const far = n < directions.length ? " so far" : "";
    return `${n} ${n === 1 ? kind.one : kind.over}${far}: ${kind.symbol} from ${least} to ${largest}, half of them up to ${middle}.`;
  }
}
