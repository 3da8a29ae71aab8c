// Chapter 16: a turn about a point, taken a part of the way again and again.

import { norm } from "./algebra.js";
import { kappa, lasting, lengths, orbit, residualBound } from "./averaged.js";
import { latest } from "./latest.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";

/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const STEPS = 100;
const [SHORTEST, LONGEST] = [1e-4, 10];

const start = { x: [1, 0], theta: 1, angle: 90, steps: 20 };

/** @param {typeof start} state */
function walk({ x, theta, angle }) {
  const places = /** @type {Point[]} */ (orbit(x, theta, angle, STEPS + 1));
  return { places, found: lengths(places) };
}

const solve = latest(walk, ["x", "theta", "angle"]);

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const { x, theta, steps } = state;
  const { places, found } = solve(state);
  const points = found.map((length, k) => /** @type {Point} */ ([k + 1, Math.max(length, SHORTEST / 10)]));
  const bound = points.map(([n]) => /** @type {Point} */ ([n, residualBound(theta, norm(x), n - 1)]));
  const [passed, ahead] = [points.slice(0, steps + 1), points.slice(steps)];
  return [
    {
      title: "the way",
      x: { from: -1.5, to: 1.5 },
      y: { from: -1.5, to: 1.5 },
      ratio: 1,
      marks: [
        { kind: "dots", points: [[0, 0]], look: "bound", radius: 2 },
        { kind: "line", points: places.slice(0, steps + 2), look: "S thin" },
        { kind: "dots", points: places.slice(0, steps + 2), look: "S", radius: 3 },
      ],
      handles: [{ label: "the start", at: /** @type {Point} */ (x), look: "S", move: (_, to) => ({ x: to }) }],
    },
    {
      title: "length of step k",
      x: { from: 1, to: STEPS + 1, label: "k + 1", log: true },
      y: { from: SHORTEST, to: LONGEST, log: true },
      ratio: 1,
      marks: /** @type {Mark[]} */ ([
        ...(theta < 1 ? [{ kind: "line", points: bound, look: "bound dashed" }] : []),
        { kind: "line", points: ahead, look: "S thin faint" },
        { kind: "line", points: passed, look: "S" },
        { kind: "dots", points: passed, look: "S", radius: 3 },
      ]),
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const { x, theta, angle, steps } = state;
  const length = solve(state).found[steps];
  const way = theta < 1 ? `${readable(theta)} of the way of a turn by ${readable(angle)}°` : `A whole turn by ${readable(angle)}°`;
  if (theta === 1) return [way, ": ", ["S", `step ${steps} is ${readable(length)} long`], ", as every step is. Nothing is proven."];
  const most = residualBound(theta, norm(x), steps);
  return [
    `${way}, κ = ${readable(kappa(theta))}: `,
    ["S", `step ${steps} is ${readable(length)} long`],
    ", ",
    ["bound", `the bound is ${readable(most)}`],
    most > 0 ? `; the step is ${readable(length / most)} of that.` : ".",
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "theta", label: "θ, the share of the way", from: 0.02, to: 1, marks: [[0.5, "½"], [1, "1"]] },
  { kind: "slider", name: "angle", label: "the turn, in degrees", from: 0, to: 180, marks: [[90, "90"], [180, "180"]] },
  { kind: "button", label: "the turn that lasts", press: ({ theta, steps }) => (theta < 1 ? { angle: lasting(theta, steps) } : {}) },
  { kind: "play", name: "steps", to: STEPS, step: 1, seconds: 10 },
];

export default stage({ start, dials, views, words });
