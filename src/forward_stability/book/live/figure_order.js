// Chapter 3: a path of the flow and its layers; their distance over the number of layers.

import { minus, norm } from "./algebra.js";
import { flow } from "./flow.js";
import { latest } from "./latest.js";
import { WALLS } from "./orthant.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";
import { force, path, relu, step } from "./steps.js";

/** @import { Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const [TIME, STEPS] = [2, 80];
// Even, so that the weights change between two layers and not within one.
const DEPTHS = Array.from({ length: 15 }, (_, k) => 2 * Math.round(2 ** (1 + k / 2)));

const start = {
  x: [1, 0.6],
  layers: 8,
  // One each for the first and the second half of the time.
  A1: [[[1, 0], [0, 1]], [[0, 1], [1, 0]]],
  A2: [[[0.5, 1], [-1, 0.5]], [[0.5, 1], [-1, 0.5]]],
  b1: [[0, 0], [0, 0]],
  b2: [[0, 0], [0.5, 1]],
};

/** @param {typeof start} state */
function compute({ x, A1, A2, b1, b2 }) {
  const [before, after] = [0, 1].map((i) => (/** @type {number[]} */ z) => force(z, A1[i], A2[i], b1[i], b2[i]));
  const half = flow(x, before, TIME / 2, STEPS);
  const exact = [...half, ...flow(half[STEPS], after, TIME / 2, STEPS)];
  const layers = (/** @type {number} */ n) => path(x, (z, k) => (2 * k < n ? before(z) : after(z)), TIME / n, n);
  const last = (/** @type {number} */ n) => {
    let z = x;
    for (let k = 0; k < n; k++) z = step(z, 2 * k < n ? before(z) : after(z), TIME / n);
    return z;
  };
  const end = exact[2 * STEPS + 1];
  /** @type {Map<number, number>} */
  const known = new Map();
  const error = (/** @type {number} */ n) => {
    if (!known.has(n)) known.set(n, norm(minus(last(n), end)));
    return /** @type {number} */ (known.get(n));
  };
  const errors = DEPTHS.map((n) => /** @type {Point} */ ([n, error(n)]));
  return { layers, exact, error, errors };
}

const solve = latest(compute, ["x", "A1", "A2", "b1", "b2"]);

/** The largest feature of a path. @param {number[][]} places */
const largest = (places) => places.reduce((most, [a, b]) => Math.max(most, a, b), -Infinity);

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const { layers: run, exact, error, errors } = solve(state);
  const layers = /** @type {Point[]} */ (run(state.layers));
  const far = Math.ceil(2 * Math.max(2, largest(layers), largest(exact)) + 0.2) / 2;
  const last = errors[errors.length - 1];
  return [
    {
      title: "features",
      x: { from: -0.3, to: far, label: "x₁" },
      y: { from: -0.3, to: far, label: "x₂" },
      ratio: 1,
      marks: [
        ...WALLS,
        { kind: "line", points: /** @type {Point[]} */ (exact), look: "D" },
        { kind: "line", points: layers, look: "original thin" },
        { kind: "dots", points: layers, look: "original", radius: state.layers > 60 ? 1.5 : 3.5 },
      ],
      handles: [
        { label: "the start", at: /** @type {Point} */ (state.x), look: "D", move: (_, to) => ({ x: relu(to) }) },
      ],
    },
    {
      title: "error at the output",
      x: { from: 1.7, to: 1200, label: "layers", log: true },
      y: { from: 1e-5, to: 10, log: true },
      ratio: 1,
      marks: [
        { kind: "line", points: [[2, (last[1] * last[0]) / 2], last], look: "bound dashed thin" },
        { kind: "text", at: [8, 3], text: "dashed: slope −1", look: "bound" },
        { kind: "line", points: errors, look: "original thin" },
        { kind: "dots", points: errors, look: "original", radius: 3 },
        { kind: "dots", points: [[state.layers, error(state.layers)]], look: "accent", radius: 6 },
      ],
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const { error } = solve(state);
  const [one, two] = [error(state.layers), error(2 * state.layers)];
  return [
    `${state.layers} `,
    ["original", "layers"],
    " end ",
    ["accent", readable(one)],
    " away from ",
    ["D", "the flow"],
    `, twice as many ${readable(two)}: a ratio of ${readable(two / one)}.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "layers", label: "number of layers", from: 2, to: 1024, log: true, whole: true, marks: [[8, "8"], [64, "64"], [512, "512"]] },
];

export default stage({ start, dials, views, words });
