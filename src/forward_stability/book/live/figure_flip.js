// Chapter 10: a layer of ResNet-S, x ↦ x − AᵀDAx, on a circle, for every set of active units.

import { norm } from "./algebra.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";

/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const [SECOND, LAYERS] = [0.55, 8];

const start = { norm: 1.2, x: [0.8, 0.6], layers: 1 };

const CIRCLE = Array.from({ length: 97 }, (_, i) => [Math.cos((i * Math.PI) / 48), Math.sin((i * Math.PI) / 48)]);

/** What a layer multiplies the two singular directions with, if its units are active. @param {number} s */
const factors = (s) => [1 - s ** 2, 1 - (SECOND * s) ** 2];

/** @param {number[]} x @param {number[]} by @returns {Point} */
const stretched = ([a, b], [c, d]) => [a * c, b * d];

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views({ norm: s, x, layers }) {
  const [first, second] = factors(s);
  const patterns = [[1, 1], [first, 1], [1, second], [first, second]];
  const ellipse = (/** @type {number[]} */ by, /** @type {string} */ look) =>
    /** @type {Mark} */ ({ kind: "line", points: CIRCLE.map((z) => stretched(z, by)), look });
  const places = [/** @type {Point} */ (x)];
  for (let n = 0; n < layers; n++) places.push(stretched(places[n], [first, second]));
  const reach = Math.max(1.3, Math.ceil(2.3 * Math.max(...places.flat().map(Math.abs), -first)) / 2);
  return [
    {
      title: "where a layer takes the unit circle",
      x: { from: -reach, to: reach, label: "first singular direction" },
      y: { from: -reach, to: reach },
      ratio: 1,
      marks: [
        ellipse(patterns[0], "bound dashed"),
        ...patterns.slice(1).map((by, i) => ellipse(by, i === 2 ? "S" : "S thin faint")),
        { kind: "line", points: places, look: "accent thin" },
        { kind: "dots", points: places, look: "accent", radius: 4 },
      ],
      handles: [{ label: "a point of the features", at: places[0], look: "accent", move: (_, to) => ({ x: to, layers: 1 }) }],
    },
    {
      title: "what each direction is multiplied by",
      x: { from: Math.min(-1.4, Math.floor(2 * first) / 2 - 0.2), to: 1.2 },
      y: { from: -1, to: 1, bare: true },
      ratio: 0.5,
      marks: [
        { kind: "line", points: [[-1, 0], [1, 0]], look: "bound thick faint" },
        { kind: "line", points: [[-1, -0.4], [-1, 0.4]], look: "bound" },
        { kind: "line", points: [[1, -0.4], [1, 0.4]], look: "bound" },
        { kind: "text", at: [0, 0.5], text: "no distance grows", look: "bound", anchor: "middle" },
        { kind: "dots", points: [[first, 0]], look: first < -1 ? "accent" : "S", radius: 7 },
        { kind: "dots", points: [[second, 0]], look: "S", radius: 4 },
      ],
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words({ norm: s, x, layers }) {
  const [first, second] = factors(s);
  const end = [x[0] * first ** layers, x[1] * second ** layers];
  const verdict = Math.abs(first + 1) < 1e-9 ? "mirrored, no longer and no shorter" : first < -1 ? "turned around and stretched" : first < 0 ? "turned around and shortened" : "shortened";
  return [
    `‖A‖ = ${s === Math.SQRT2 ? "√2" : readable(s)}: the first direction is multiplied by `,
    [first < -1 ? "accent" : "S", readable(first)],
    `, ${verdict}; the second by `,
    ["S", readable(second)],
    ". After ",
    ["accent", `${layers} ${layers === 1 ? "layer" : "layers"}`],
    ` the point is ${readable(norm(end) / (norm(x) || 1))} times as far from 0.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "norm", label: "‖A‖, with τ = 1", from: 0, to: 1.8, marks: [[1, "1"], [Math.SQRT2, "√2"]] },
  { kind: "play", name: "layers", to: LAYERS, step: 1, seconds: 4 },
];

export default stage({ start, dials, views, words });
