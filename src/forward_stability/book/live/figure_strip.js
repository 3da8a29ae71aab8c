// Chapter 0: two inputs on their way through the same 96 layers of ResNet, ResNet-D and ResNet-S.

import { apply, dot, minus, multiply, norm, plus, scale, spectralNorm, times, transpose } from "./algebra.js";
import { latest } from "./latest.js";
import { standardNormal } from "./normal.js";
import { short } from "./numbers.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";
import { force, path, relu } from "./steps.js";

/** @import { Matrix, Vector } from "./algebra.js" */
/** @import { Axis } from "./axes.js" */
/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const [WIDTH, LAYERS, TAU, STARTS] = [8, 96, 1 / 24, 12];

const start = { product: 6, pair: "an arbitrary pair" };

const NUMBERS = [...standardNormal(30, (2 * WIDTH + STARTS + 1) * WIDTH)];

/** @param {number} first @param {number} count */
const rows = (first, count) =>
  Array.from({ length: count }, (_, i) => NUMBERS.slice((first + i) * WIDTH, (first + i + 1) * WIDTH));

const [W1, W2] = [rows(0, WIDTH), rows(WIDTH, WIDTH)];
const INPUTS = rows(2 * WIDTH, STARTS + 1).map((x) => x.map(Math.abs));

/** @type {[string, string, Matrix][]} */
const VARIANTS = [
  ["original", "ResNet", W2],
  ["D", "ResNet-D", W2.map((row) => row.map(Math.abs))],
  ["S", "ResNet-S", transpose(W1)],
];

/** @type {Map<Matrix, number>} */
const NORMS = new Map([W1, ...VARIANTS.map(([, , second]) => second)].map((W) => [W, spectralNorm(W)]));

/** @param {number} product ‖A1‖‖A2‖ @param {Matrix} second @returns {Matrix[]} */
function weights(product, second) {
  return [W1, second].map((W) => scale(Math.sqrt(product) / (NORMS.get(W) ?? 1), W));
}

/**
 * The derivative of the layers passed by the start, where its norm (of Frobenius) is largest.
 *
 * @param {Vector} x the start
 * @param {Matrix[]} A
 */
function steepest(x, [A1, A2]) {
  let J = x.map((_, i) => x.map((__, j) => Number(i === j)));
  let [factor, most] = [0, J];
  const places = path(x, (y) => force(y, A1, A2), TAU, LAYERS);
  for (let n = 0; n < LAYERS; n++) {
    const active = apply(A1, places[n]).map((h) => Number(h > 0));
    const inner = multiply(A2, multiply(A1, J).map((row, i) => times(active[i], row)));
    const alive = places[n + 1].map((h) => Number(h > 0));
    J = J.map((row, i) => times(alive[i], plus(row, -TAU, inner[i])));
    const now = Math.sqrt(J.reduce((sum, row) => sum + dot(row, row), 0));
    if (now > factor) [factor, most] = [now, J];
  }
  return { factor, most };
}

/** The direction that a matrix stretches most. @param {Matrix} J */
function direction(J) {
  const square = multiply(transpose(J), J);
  let v = J.map((_, i) => 1 / (1 + i));
  for (let i = 0; i < 60; i++) {
    const next = apply(square, v);
    v = times(1 / (norm(next) || 1), next);
  }
  return v;
}

/**
 * The input, of the first STARTS, next to which two part most (`steepest`), for ‖A1‖‖A2‖ = 1/2, 1, 2,
 * 4, …, 256: the search takes too long for a frame.
 *
 * @type {Record<string, number[]>}
 */
const WORST = {
  original: [0, 0, 10, 7, 1, 1, 1, 1, 0, 0],
  D: [0, 0, 11, 11, 11, 2, 2, 2, 2, 2],
  S: [1, 1, 1, 1, 1, 1, 2, 9, 9, 0],
};

/** @param {typeof start} state @returns {Vector[]} */
function inputs({ product, pair }) {
  const [look, , second] = VARIANTS.find(([, name]) => pair.endsWith(` ${name}`)) ?? ["", "", W2];
  if (!look) return [INPUTS[0], plus(INPUTS[0], 0.01, INPUTS[STARTS])];
  const octave = Math.min(Math.max(Math.round(Math.log2(product)), -1), 8);
  const x = INPUTS[WORST[look][octave + 1]];
  return [x, relu(plus(x, 0.001 * norm(x), direction(steepest(x, weights(product, second)).most)))];
}

/** @param {typeof start} state */
function compute(state) {
  const [x, y] = inputs(state);
  return VARIANTS.map(([look, name, second]) => {
    const [A1, A2] = weights(state.product, second);
    const [p, q] = [x, y].map((z) => path(z, (h) => force(h, A1, A2), TAU, LAYERS));
    const sizes = p.map((z) => norm(z) / norm(x));
    const distances = p.map((z, n) => norm(minus(z, q[n])) / norm(minus(x, y)));
    return { look, name, sizes, distances };
  });
}

const run = latest(compute, ["product", "pair"]);

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const networks = run(state);
  const largest = Math.max(100, ...networks.map(({ sizes, distances }) => Math.max(...sizes, ...distances)));
  /** @type {Axis} */
  const y = { from: 1e-3, to: 10 ** Math.ceil(Math.log10(largest)), log: true };
  return /** @type {const} */ ([["sizes", "size of the features"], ["distances", "distance of two inputs"]]).map(([what, title]) => ({
    title,
    x: { from: 0, to: LAYERS, label: "layers passed" },
    y,
    ratio: 0.9,
    marks: [
      /** @type {Mark} */ ({ kind: "line", points: [[0, 1], [LAYERS, 1]], look: "bound dashed thin" }),
      ...networks.map((network) => {
        const points = network[what].map((z, n) => /** @type {Point} */ ([n, z]));
        return /** @type {Mark} */ ({ kind: "line", points, look: network.look });
      }),
    ],
  }));
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const ends = run(state).map(({ look, name, sizes, distances }) => {
    const [size, distance] = [sizes, distances].map((z) => short(Math.max(...z)));
    return /** @type {Words[]} */ ([[look, name], `: size ${size}, distance ${distance}`]);
  });
  const thick = (state.product * TAU) > 2 ? ", more than 2" : "";
  return [
    `The largest in ${LAYERS} layers, relative to the input. `,
    ...ends.flatMap((part, i) => (i ? ["; ", ...part] : part)),
    `. The layers of ResNet-S have τ‖A‖² = ${readable(state.product * TAU)}${thick}.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "product", label: "‖A1‖ ‖A2‖", from: 0.5, to: 200, log: true, marks: [[6, "6"], [48, "τ‖A‖² = 2"]] },
  { kind: "choice", name: "pair", label: "two inputs", options: ["an arbitrary pair", ...VARIANTS.map(([, name]) => `a bad pair for ${name}`)] },
];

export default stage({ start, dials, views, words });
