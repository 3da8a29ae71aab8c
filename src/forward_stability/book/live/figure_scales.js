// Chapter 11: a folded layer of ResNet-S on two channels, in its own norm and in the Euclidean one.

import { apply, multiply, scale, spectralNorm, transpose } from "./algebra.js";
import { latest } from "./latest.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";

/** @import { Matrix } from "./algebra.js" */
/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const BASE = [[1, -0.9], [0.5, 0.4]];
const CIRCLE = Array.from({ length: 97 }, (_, i) => [Math.cos((i * Math.PI) / 48), Math.sin((i * Math.PI) / 48)]);
const PATTERNS = [[0, 0], [1, 0], [0, 1], [1, 1]];

const start = { scale: 1, s1: 0.6, s2: 1.7 };

/** @param {number[]} d @returns {Matrix} */
const diagonal = ([a, b]) => [[a, 0], [0, b]];

/**
 * The Jacobians I − D2 AᵀDA with ‖A D2^½‖ = √2: both normalisations divide by what the scale of
 * the filter multiplied.
 *
 * @param {typeof start} state
 */
function compute({ scale: c, s1, s2 }) {
  const d2 = [1 / s1, 1 / s2];
  const unit = scale(Math.SQRT2 / spectralNorm(multiply(BASE, diagonal(d2.map(Math.sqrt)))), BASE);
  const jacobians = PATTERNS.map((units) => {
    const J = multiply(diagonal(d2), multiply(transpose(unit), multiply(diagonal(units), unit)));
    return J.map((row, i) => row.map((z, j) => Number(i === j) - z));
  });
  const roots = d2.map(Math.sqrt);
  const inOwn = jacobians.map((J) => multiply(diagonal(roots.map((r) => 1 / r)), multiply(J, diagonal(roots))));
  return {
    roots,
    jacobians,
    filter: c * spectralNorm(BASE),
    own: Math.max(...inOwn.map(spectralNorm)),
    euclidean: Math.max(...jacobians.map(spectralNorm)),
  };
}

const solve = latest(compute, ["scale", "s1", "s2"]);

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const { roots, jacobians } = solve(state);
  const mean = Math.sqrt(roots[0] * roots[1]);
  const own = CIRCLE.map(([a, b]) => [(a * roots[0]) / mean, (b * roots[1]) / mean]);
  return [["the norm ‖x‖∗", own, "bound dashed"], ["the Euclidean norm", CIRCLE, "bound"]].map(([title, ball, look]) => {
    const points = /** @type {Point[]} */ (ball);
    const image = (/** @type {Matrix} */ J) => /** @type {Mark} */ ({ kind: "line", points: points.map((z) => apply(J, z)), look: "S thin" });
    return {
      title: `images of the ball: ${title}`,
      x: { from: -2.4, to: 2.4, label: "channel 1" },
      y: { from: -2.4, to: 2.4, label: "channel 2" },
      ratio: 1,
      marks: [/** @type {Mark} */ ({ kind: "line", points, look: /** @type {string} */ (look) }), ...jacobians.map(image)],
    };
  });
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const { filter, own, euclidean } = solve(state);
  return [
    `Before its normalisation the filter has the norm ${readable(filter)}; folded, ‖D1^½ A D2^½‖ = √2 whatever its scale. In `,
    ["bound", "its own norm"],
    " the layer stretches by at most ",
    ["S", own.toFixed(2)],
    ", in the Euclidean norm by ",
    ["S", euclidean.toFixed(2)],
    `; max D2 / min D2 = ${readable(Math.max(state.s1 / state.s2, state.s2 / state.s1))}.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "scale", label: "scale of the filter, before its normalisation", from: 0.1, to: 10, log: true, marks: [[1, "1"]] },
  { kind: "slider", name: "s1", label: "s₂ of channel 1", from: 0.3, to: 3, log: true, marks: [[1, "1"]] },
  { kind: "slider", name: "s2", label: "s₂ of channel 2", from: 0.3, to: 3, log: true, marks: [[1, "1"]] },
];

export default stage({ start, dials, views, words });
