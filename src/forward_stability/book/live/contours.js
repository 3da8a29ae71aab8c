// Lines on which a function of the plane is constant.

/** @import { Mark, Point } from "./plot.js" */

const CELLS = 48;

/**
 * The corners of small cells, along each side of a square.
 *
 * @param {number} from of both axes
 * @param {number} to
 */
export function corners(from, to) {
  return Array.from({ length: CELLS + 1 }, (_, i) => from + ((to - from) * i) / CELLS);
}

/**
 * The lines of some levels of a function, by linear interpolation on the edges of the cells.
 *
 * @param {number[][]} values of the function at all corners
 * @param {number[]} levels
 * @param {number[]} places of the corners
 * @param {string} look
 * @returns {Mark[]}
 */
export function contours(values, levels, places, look) {
  const lines = levels.map(() => /** @type {Point[][]} */ ([]));
  for (let i = 0; i < CELLS; i++) {
    const [left, right] = [values[i], values[i + 1]];
    for (let j = 0; j < CELLS; j++) {
      const a = left[j], b = right[j], c = right[j + 1], d = left[j + 1];
      const least = Math.min(a, b, c, d), most = Math.max(a, b, c, d);
      const x = places[i], y = places[j], u = places[i + 1], v = places[j + 1];
      for (let k = 0; k < levels.length; k++) {
        const level = levels[k];
        if (level <= least || level > most) continue;
        /** @type {Point[]} */
        const points = [];
        if (a < level !== b < level) points.push([cut(x, u, a, b, level), y]);
        if (b < level !== c < level) points.push([u, cut(y, v, b, c, level)]);
        if (c < level !== d < level) points.push([cut(u, x, c, d, level), v]);
        if (d < level !== a < level) points.push([x, cut(v, y, d, a, level)]);
        if (points.length === 2) lines[k].push(points);
      }
    }
  }
  return lines.map((pieces) => ({ kind: "lines", pieces, look }));
}

/**
 * Where the level lies between two places with these values.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} first
 * @param {number} last
 * @param {number} level
 */
function cut(from, to, first, last, level) {
  return from + ((first - level) / (first - last)) * (to - from);
}
