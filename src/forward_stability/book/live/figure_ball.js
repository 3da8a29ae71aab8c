// Chapter 2: a ball between two walls in a steady wind, and one layer of thickness τ.

import { plus, times } from "./algebra.js";
import { WALLS } from "./orthant.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";
import { relu, step, velocity } from "./steps.js";

/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const start = { x: [0.8, 1], wind: [-1, 0.6], tau: 1.2, t: 0 };

/** @param {number[]} at @param {number[]} wind @param {number} t */
const blown = (at, wind, t) => at.map((z, i) => (wind[i] < 0 ? Math.max(z + t * wind[i], 0) : z + t * wind[i]));

/** @param {typeof start} state */
function views({ x, wind, tau, t }) {
  const now = blown(x, wind, t);
  const moving = velocity(now, times(-1, wind));
  const [forward, layer] = [plus(x, tau, wind), step(x, times(-1, wind), tau)];
  const tip = /** @type {Point} */ (plus(x, 1, wind));
  const trace = Array.from({ length: 61 }, (_, i) => /** @type {Point} */ (blown(x, wind, i / 20)));
  const [ball, end, back] = /** @type {Point[]} */ ([now, forward, layer]);
  /** @type {Mark[]} */
  const marks = [
    ...WALLS,
    { kind: "line", points: trace, look: "D thin" },
    { kind: "line", points: [/** @type {Point} */ (x), end], look: "original dashed" },
    { kind: "arrows", pairs: [[end, back]], look: "accent" },
    { kind: "dots", points: [back], look: "original", radius: 6 },
    { kind: "arrows", pairs: [[/** @type {Point} */ (x), tip]], look: "bound" },
    { kind: "arrows", pairs: [[ball, /** @type {Point} */ (plus(now, 0.7, moving))]], look: "D" },
    { kind: "dots", points: [ball], look: "D", radius: 6 },
  ];
  /** @type {View<typeof start>} */
  const view = {
    x: { from: -1.5, to: 3, label: "x₁" },
    y: { from: -1.5, to: 2.5, label: "x₂" },
    ratio: 0.89,
    marks,
    handles: [
      { label: "the ball", at: /** @type {Point} */ (x), look: "D", move: (_, to) => ({ x: relu(to), t: 0 }) },
      { label: "the tip of the wind", at: tip, look: "bound", move: (state, to) => ({ wind: plus(to, -1, state.x) }) },
    ],
  };
  return [view];
}

/** @param {typeof start} state @returns {Words[]} */
function words({ x, wind, tau, t }) {
  const now = blown(x, wind, t);
  const moving = velocity(now, times(-1, wind));
  const push = plus(moving, -1, wind);
  const held = push.filter((z) => z !== 0).length;
  const stuck = held > 0 && moving.every((z) => z === 0);
  const what = held === 0 ? "No wall pushes, and the ball goes with the wind: " : stuck ? "It sticks: " : "It slides along the wall: ";
  const layer = step(x, times(-1, wind), tau);
  return [
    what,
    ["D", `x' = (${moving.map(readable).join(", ")})`],
    ...(held ? /** @type {Words[]} */ ([`; the wall adds (${push.map(readable).join(", ")}) to `, ["bound", "the wind"], ". "]) : [". "]),
    `One layer of thickness τ = ${readable(tau)} `,
    ["original", "steps forward"],
    " and ",
    ["accent", "snaps back"],
    ` to (${layer.map(readable).join(", ")}).`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "tau", label: "thickness τ of a layer", from: 0, to: 3 },
  { kind: "play", name: "t", to: 3, step: 0.25, seconds: 3 },
];

export default stage({ start, dials, views, words });
