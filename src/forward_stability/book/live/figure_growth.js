// Chapter 4: x' = u σ(v·x), the growth that its start and its weights allow, beside the ceiling.

import { dot, norm } from "./algebra.js";
import { flow } from "./flow.js";
import { latest } from "./latest.js";
import { short } from "./numbers.js";
import { WALLS } from "./orthant.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";

/** @import { Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const [TIME, STEPS] = [2, 200];

const start = { x: [0.3, 0.5], u: [0.9, 0.2], v: [-0.3, 1] };

/** @param {typeof start} state */
function compute({ x, u, v }) {
  const places = flow(x, (z) => u.map((ui) => -ui * Math.max(dot(v, z), 0)), TIME, STEPS);
  const c = norm(u) * norm(v);
  return { places, c, grown: places.map((z) => norm(z) / norm(x)) };
}

const run = latest(compute, ["x", "u", "v"]);

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const { places, c, grown } = run(state);
  const origin = /** @type {Point} */ ([0, 0]);
  const [x, u, v] = /** @type {Point[]} */ ([state.x, state.u, state.v]);
  const curve = (/** @type {(n: number) => number} */ of) => grown.map((_, n) => /** @type {Point} */ ([(n * TIME) / STEPS, of(n)]));
  return [
    {
      title: "weights and features",
      x: { from: -1.5, to: 2.5, label: "x₁" },
      y: { from: -1.5, to: 2.5, label: "x₂" },
      ratio: 1,
      marks: [
        ...WALLS,
        { kind: "arrows", pairs: [[origin, u]], look: "original" },
        { kind: "arrows", pairs: [[origin, v]], look: "D" },
        { kind: "text", at: [u[0] + 0.12, u[1] - 0.3], text: "u", look: "original" },
        { kind: "text", at: [v[0] + 0.12, v[1] + 0.2], text: "v", look: "D" },
        { kind: "line", points: /** @type {Point[]} */ (places), look: "S" },
      ],
      handles: [
        { label: "u, the direction of the push", at: u, look: "original", move: (_, to) => ({ u: to }) },
        { label: "v, what the unit looks at", at: v, look: "D", move: (_, to) => ({ v: to }) },
        { label: "the start x(0)", at: x, look: "S", move: (_, to) => ({ x: to.map((z) => Math.max(z, 0.01)) }) },
      ],
    },
    {
      title: "‖x(t)‖ / ‖x(0)‖",
      x: { from: 0, to: TIME, label: "time t" },
      y: { from: 0.1, to: Math.max(100, 10 ** Math.ceil(c * TIME * Math.LOG10E)), log: true },
      ratio: 1,
      marks: [
        { kind: "line", points: curve((n) => Math.exp((c * n * TIME) / STEPS)), look: "bound dashed" },
        { kind: "line", points: curve((n) => grown[n]), look: "S" },
      ],
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const { c, grown } = run(state);
  const [end, ceiling] = [grown[STEPS], Math.exp(c * TIME)];
  const pull = dot(state.u, state.v) / (c || 1);
  return [
    `c = ‖u‖‖v‖ = ${readable(c)} allows `,
    ["bound", `a growth by e²ᶜ = ${short(ceiling)}`],
    "; ",
    ["S", `the features grow by ${short(end)}`],
    `, ${readable((100 * end) / ceiling)} % of it. The cosine of the angle between `,
    ["original", "u"],
    " and ",
    ["D", "v"],
    ` is ${readable(pull)}.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "button", label: "all in one direction", press: ({ u, v }) => ({ x: [0.3, 0.4], u: [0.6 * norm(u), 0.8 * norm(u)], v: [0.6 * norm(v), 0.8 * norm(v)] }) },
];

export default stage({ start, dials, views, words });
