// Chapter 6: two balls in the bowl ½‖σ(A(x − p))‖², layer by layer, and A2 turned away from Aᵀ.

import { apply, minus, multiply, norm, scale, spectralNorm, transpose } from "./algebra.js";
import { contours, corners } from "./contours.js";
import { latest } from "./latest.js";
import { short } from "./numbers.js";
import { WALLS } from "./orthant.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";
import { force, path, relu } from "./steps.js";

/** @import { Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const SHAPE = [[1, 0.5], [-0.6, 0.9], [0.2, -1]];
const MIDDLE = [0.9, 0.8];
const [LAYERS, REACH] = [24, 3];
const UNIT = scale(1 / spectralNorm(SHAPE), SHAPE);

const start = { x: [2.4, 2.2], y: [2.1, 2.6], step: 1.5, angle: 0 };

/** @param {typeof start} state with τ = 1 */
function weights({ step, angle }) {
  const A1 = scale(Math.sqrt(step), UNIT);
  const [c, s] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  return { A1, A2: multiply([[c, -s], [s, c]], transpose(A1)), b1: apply(A1, MIDDLE).map((z) => -z) };
}

/** @param {typeof start} state */
function compute(state) {
  const { A1, A2, b1 } = weights(state);
  const [p, q] = [state.x, state.y].map((z) => path(z, (v) => force(v, A1, A2, b1), 1, LAYERS));
  const distances = p.map((z, n) => norm(minus(z, q[n])));
  return { p, q, distances: distances.map((z) => z / (distances[0] || 1)) };
}

const run = latest(compute, ["x", "y", "step", "angle"]);

const LEVELS = [0.02, 0.1, 0.25, 0.5, 0.9, 1.4];
const PLACES = corners(0, REACH);
const HEIGHTS = PLACES.map((x) => PLACES.map((y) => norm(relu(apply(UNIT, minus([x, y], MIDDLE)))) ** 2 / 2));
const LINES = contours(HEIGHTS, LEVELS, PLACES, "bound thin");

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const { p, q, distances } = run(state);
  const [x, y] = /** @type {Point[]} */ ([state.x, state.y]);
  const most = Math.max(...distances);
  return [
    {
      title: "the bowl from above",
      x: { from: -0.3, to: REACH, label: "x₁" },
      y: { from: -0.3, to: REACH, label: "x₂" },
      ratio: 1,
      marks: [
        ...WALLS,
        ...LINES,
        { kind: "line", points: /** @type {Point[]} */ (p), look: "D thin" },
        { kind: "line", points: /** @type {Point[]} */ (q), look: "S thin" },
        { kind: "dots", points: /** @type {Point[]} */ (p), look: "D", radius: 3 },
        { kind: "dots", points: /** @type {Point[]} */ (q), look: "S", radius: 3 },
      ],
      handles: [
        { label: "the first ball", at: x, look: "D", move: (_, to) => ({ x: relu(to) }) },
        { label: "the second ball", at: y, look: "S", move: (_, to) => ({ y: relu(to) }) },
      ],
    },
    {
      title: "distance, relative to the start",
      x: { from: 0, to: LAYERS, label: "layers passed" },
      y: { from: 0, to: Math.max(1.5, Math.ceil(2.2 * most) / 2) },
      ratio: 1,
      marks: [
        { kind: "line", points: [[0, 1], [LAYERS, 1]], look: "bound dashed thin" },
        { kind: "line", points: distances.map((z, n) => [n, z]), look: "accent" },
        { kind: "dots", points: distances.map((z, n) => [n, z]), look: "accent", radius: 3 },
      ],
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const { distances } = run(state);
  const grows = distances.some((z, n) => n > 0 && z > distances[n - 1] * (1 + 1e-12));
  return [
    `τ‖A‖² = ${readable(state.step)}, A2 ${state.angle ? `turned by ${readable(state.angle)}° away from Aᵀ` : "= Aᵀ"}: `,
    ["accent", "the distance"],
    ` ${grows ? "grows in some layer" : "never grows"}; after ${LAYERS} layers it is ${short(distances[LAYERS])} of what it was.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "step", label: "τ‖A‖²", from: 0, to: 3, marks: [[1, "1"], [2, "2"]] },
  { kind: "slider", name: "angle", label: "A2 turned away from Aᵀ, in degrees", from: -90, to: 90, marks: [[0, "0"]] },
];

export default stage({ start, dials, views, words });
