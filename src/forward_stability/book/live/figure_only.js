// Chapter 6: one hidden unit whose way back is turned away from its way in, and the pair that parts.

import { dot, norm, plus } from "./algebra.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";

/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const V = [1, 0];

/** The unit is held on the line of v within this distance. */
const HOLD = 0.06;

const start = { u: [0.9, 0.5] };

const CIRCLE = Array.from({ length: 145 }, (_, i) => [Math.cos((i * Math.PI) / 72), Math.sin((i * Math.PI) / 72)]);

/** What becomes of a difference z while the unit is active, (I − u vᵀ) z. @param {number[]} u */
const after = (u) => (/** @type {number[]} */ z) => /** @type {Point} */ (plus(z, -dot(V, z), u));

/** The difference that is stretched most, and by how much. @param {number[]} u */
function worst(u) {
  const [first, second] = [after(u)([1, 0]), after(u)([0, 1])];
  const angle = Math.atan2(2 * dot(first, second), dot(first, first) - dot(second, second)) / 2;
  const z = /** @type {Point} */ ([Math.cos(angle), Math.sin(angle)]);
  return { z, ratio: norm(after(u)(z)) };
}

/** The pieces of a curve outside of the unit circle. @param {Point[]} points */
function outside(points) {
  /** @type {Point[][]} */
  const pieces = [[]];
  for (const z of points)
    if (norm(z) > 1 + 1e-9) pieces[pieces.length - 1].push(z);
    else if (pieces[pieces.length - 1].length) pieces.push([]);
  return pieces.filter((piece) => piece.length > 1);
}

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views({ u }) {
  const image = CIRCLE.map(after(u));
  const { z, ratio } = worst(u);
  const parts = ratio > 1 + 1e-9;
  /** @type {Mark[]} */
  const pair = parts
    ? [
        { kind: "arrows", pairs: [[[0, 0], z]], look: "bound" },
        { kind: "arrows", pairs: [[[0, 0], after(u)(z)]], look: "accent" },
      ]
    : [];
  return [
    {
      title: "in along v, back along u",
      x: { from: -0.8, to: 2.4 },
      y: { from: -1.3, to: 1.3 },
      ratio: 0.82,
      marks: [
        { kind: "line", points: [[0, 0], [2, 0]], look: "S thick faint" },
        { kind: "arrows", pairs: [[[0, 0], /** @type {Point} */ (V)]], look: "bound" },
        { kind: "text", at: [0.86, -0.24], text: "v", look: "bound" },
        { kind: "text", at: [2, 0.14], text: "2v", look: "S", anchor: "end" },
        { kind: "arrows", pairs: [[[0, 0], /** @type {Point} */ (u)]], look: parts ? "accent" : "S" },
      ],
      handles: [
        {
          label: "u, the column of A2",
          at: /** @type {Point} */ (u),
          look: parts ? "accent" : "S",
          move: (_, [x, y]) => ({ u: [x, Math.abs(y) < HOLD ? 0 : y] }),
        },
      ],
    },
    {
      title: "differences, before and after",
      x: { from: -1.9, to: 1.9 },
      y: { from: -1.55, to: 1.55 },
      ratio: 0.82,
      marks: [
        { kind: "line", points: /** @type {Point[]} */ (CIRCLE), look: "bound dashed" },
        { kind: "line", points: image, look: "S" },
        { kind: "lines", pieces: outside(image), look: "accent thick" },
        ...pair,
      ],
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words({ u }) {
  const { z, ratio } = worst(u);
  if (ratio <= 1 + 1e-9) return [["S", `u = ${readable(u[0])} v`], ": no pair of features parts, whatever the bias."];
  const by = `${readable(ratio)} times as far apart`;
  const which = `The features 0 and (${z.map(readable).join(", ")}) are `;
  const why = u[1] ? `u is turned away from v by ${readable((Math.abs(Math.atan2(u[1], u[0])) * 180) / Math.PI)}°` : u[0] < 0 ? "u points against v" : "u is longer than 2v";
  return [["accent", why], `. ${which}`, ["accent", by], " after the layer, while the unit is active at both."];
}

export default stage({ start, dials: [], views, words });
