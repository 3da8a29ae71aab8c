// Lines on which a function of the plane is constant.

/** @import { Mark, Point } from "./plot.js" */

const CELLS = 48;

/**
 * The lines of some levels on a square, by linear interpolation on the edges of small cells.
 *
 * @param {(x: number, y: number) => number} f
 * @param {number[]} levels
 * @param {number} from of both axes
 * @param {number} to
 * @param {string} look
 * @returns {Mark[]}
 */
export function contours(f, levels, from, to, look) {
  const at = (/** @type {number} */ i) => from + ((to - from) * i) / CELLS;
  const values = Array.from({ length: CELLS + 1 }, (_, i) => Array.from({ length: CELLS + 1 }, (__, j) => f(at(i), at(j))));
  return levels.map((level) => {
    /** @type {Point[][]} */
    const pieces = [];
    for (let i = 0; i < CELLS; i++)
      for (let j = 0; j < CELLS; j++) {
        const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
        /** @type {Point[]} */
        const points = [];
        corners.forEach(([a, b], k) => {
          const [c, d] = corners[(k + 1) % 4];
          const [low, high] = [values[a][b] - level, values[c][d] - level];
          if (low < 0 === high < 0) return;
          const t = low / (low - high);
          points.push([at(a) + t * (at(c) - at(a)), at(b) + t * (at(d) - at(b))]);
        });
        if (points.length === 2) pieces.push(points);
      }
    return { kind: "lines", pieces, look };
  });
}
