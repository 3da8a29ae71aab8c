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
  const all = levels.map(() => /** @type {Map<number, Knot>} */ (new Map()));
  for (let i = 0; i < CELLS; i++) {
    const [left, right] = [values[i], values[i + 1]];
    for (let j = 0; j < CELLS; j++) {
      const a = left[j], b = right[j], c = right[j + 1], d = left[j + 1];
      const least = Math.min(a, b, c, d), most = Math.max(a, b, c, d);
      const x = places[i], y = places[j], u = places[i + 1], v = places[j + 1];
      for (let k = 0; k < levels.length; k++) {
        const level = levels[k];
        if (level <= least || level > most) continue;
        /** @type {Knot[]} */
        const cuts = [];
        if (a < level !== b < level) cuts.push(knot(all[k], edge(i, j, 0), [cut(x, u, a, b, level), y]));
        if (b < level !== c < level) cuts.push(knot(all[k], edge(i + 1, j, 1), [u, cut(y, v, b, c, level)]));
        if (c < level !== d < level) cuts.push(knot(all[k], edge(i, j + 1, 0), [cut(u, x, c, d, level), v]));
        if (d < level !== a < level) cuts.push(knot(all[k], edge(i, j, 1), [x, cut(v, y, d, a, level)]));
        if (cuts.length !== 2) continue;
        cuts[0].beside.push(cuts[1]);
        cuts[1].beside.push(cuts[0]);
      }
    }
  }
  return all.map((knots) => ({ kind: "lines", pieces: untied([...knots.values()]), look }));
}

/** @typedef {{ point: Point, beside: Knot[] }} Knot where a line crosses an edge, and the next ones */

/**
 * The knot of an edge.
 *
 * @param {Map<number, Knot>} knots
 * @param {number} at the edge
 * @param {Point} point
 */
function knot(knots, at, point) {
  let known = knots.get(at);
  if (!known) knots.set(at, (known = { point, beside: [] }));
  return known;
}

/**
 * The lines through all knots, open ones first; it unties them.
 *
 * @param {Knot[]} knots
 */
function untied(knots) {
  /** @type {Point[][]} */
  const lines = [];
  for (const ends of [1, 2])
    for (let at of knots) {
      if (at.beside.length !== ends) continue;
      const line = [at.point];
      for (let next = at.beside.pop(); next; next = at.beside.pop()) {
        next.beside.splice(next.beside.indexOf(at), 1);
        line.push(next.point);
        at = next;
      }
      lines.push(line);
    }
  return lines;
}

/**
 * A number of the edge that goes right (0) or up (1) from a corner.
 *
 * @param {number} i
 * @param {number} j
 * @param {number} way
 */
const edge = (i, j, way) => 2 * (i * (CELLS + 1) + j) + way;

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
