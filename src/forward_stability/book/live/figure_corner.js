// Chapter 1: two points in the plane, their projections onto the quadrant, the normal cone.

import { minus, norm } from "./algebra.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";
import { relu } from "./steps.js";

/** @import { Mark, Point, View } from "./plot.js" */

const FAR = 20;

const start = { x: [-1.2, 1.4], y: [1.5, -1] };

/**
 * The normal cone at z: the ways out of the quadrant that are perpendicular to where z may go.
 *
 * @param {number[]} z
 * @returns {Mark[]}
 */
function cone([a, b]) {
  if (a > 0 && b > 0) return [];
  const points = /** @type {Point[]} */ (
    a === 0 && b === 0
      ? [[0, 0], [-FAR, 0], [-FAR, -FAR], [0, -FAR]]
      : [[a, b], a === 0 ? [-FAR, b] : [a, -FAR]]
  );
  return [{ kind: points.length > 2 ? "area" : "line", points, look: "accent thick faint" }];
}

/** @param {typeof start} state */
function views({ x, y }) {
  const [p, q] = /** @type {Point[]} */ ([relu(x), relu(y)]);
  const [at, other] = /** @type {Point[]} */ ([x, y]);
  /** @type {Mark[]} */
  const marks = [
    { kind: "area", points: [[0, 0], [FAR, 0], [FAR, FAR], [0, FAR]], look: "D faint" },
    { kind: "text", at: [1.5, 2.6], text: "allowed", look: "D" },
    ...cone(p),
    { kind: "line", points: [p, q], look: "S" },
    { kind: "line", points: [at, other], look: "bound dashed thin" },
    { kind: "arrows", pairs: [[p, at]], look: "accent" },
    { kind: "arrows", pairs: [[q, other]], look: "bound thin" },
    { kind: "dots", points: [p, q], look: "S", radius: 6 },
  ];
  /** @type {View<typeof start>} */
  const view = {
    x: { from: -3, to: 3 },
    y: { from: -3, to: 3 },
    ratio: 0.94,
    marks,
    handles: [
      { label: "point x", at, look: "accent", move: (_, to) => ({ x: to }) },
      { label: "point y", at: other, look: "bound", move: (_, to) => ({ y: to }) },
    ],
  };
  return [view];
}

/** @param {typeof start} state */
function words({ x, y }) {
  const [before, after] = [norm(minus(x, y)), norm(minus(relu(x), relu(y)))];
  const removed = minus(x, relu(x)).map(readable).join(", ");
  return /** @type {import("./stage.js").Words[]} */ ([
    "The projection takes away ",
    ["accent", `x − σ(x) = (${removed})`],
    ", which lies in the normal cone at σ(x). The distance of the two points goes from ",
    ["bound", readable(before)],
    " to ",
    ["S", readable(after)],
    before > 0 ? `: a factor of ${readable(after / before)}.` : ".",
  ]);
}

export default stage({ start, dials: [], views, words });
