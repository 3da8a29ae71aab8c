// Chapter 1: what the proximal step minimises, for the indicator of y ≥ 0 and for |y|.

import { readable } from "./plot.js";
import { stage } from "./stage.js";

/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const start = { x: -1.5, gamma: 1 };

/** @typedef {{ title: string, cost(y: number): number, prox(x: number, gamma: number): number, from: number }} Cost */

/** @type {Cost[]} */
const COSTS = [
  { title: "indicator of y ≥ 0", cost: () => 0, prox: (x) => Math.max(x, 0), from: 0 },
  {
    title: "|y|",
    cost: Math.abs,
    prox: (x, gamma) => Math.sign(x) * Math.max(Math.abs(x) - gamma, 0),
    from: -3,
  },
];

/** @param {typeof start} state */
function views({ x, gamma }) {
  return COSTS.map(({ title, cost, prox, from }) => {
    const height = (/** @type {number} */ y) => gamma * cost(y) + (x - y) ** 2 / 2;
    const best = prox(x, gamma);
    const curve = (/** @type {number} */ first, /** @type {(y: number) => number} */ f) =>
      Array.from({ length: 121 }, (_, i) => first + ((3 - first) * i) / 120).map(
        (y) => /** @type {Point} */ ([y, f(y)]),
      );
    /** @type {Mark[]} */
    const marks = [
      ...(from < 0 ? [] : /** @type {Mark[]} */ ([
        { kind: "area", points: [[-3, 0], [0, 0], [0, 8], [-3, 8]], look: "wall" },
        { kind: "text", at: [-2.8, 6.2], text: "forbidden" },
      ])),
      { kind: "line", points: curve(-3, (y) => (x - y) ** 2 / 2), look: "bound thin dashed" },
      { kind: "line", points: curve(from, height), look: "S" },
      { kind: "line", points: [[best, 0], [best, height(best)]], look: "accent thin" },
      { kind: "dots", points: [[best, height(best)]], look: "accent", radius: 6 },
    ];
    /** @type {View<typeof start>} */
    const view = {
      title: `f = ${title}`,
      x: { from: -3, to: 3, label: "y" },
      y: { from: 0, to: 7 },
      ratio: 0.85,
      marks,
      handles: [
        {
          label: `the point x, for f = ${title}`,
          at: [x, 0],
          look: "bound",
          along: "x",
          move: (_, [to]) => ({ x: Math.min(Math.max(to, -3), 3) }),
        },
      ],
    };
    return view;
  });
}

/** @param {typeof start} state @returns {Words[]} */
function words({ x, gamma }) {
  const [projection, shrunk] = COSTS.map(({ prox }) => readable(prox(x, gamma)));
  return [
    "The dashed parabola is ½(x − y)², the curve adds ",
    ["S", "γ f(y)"],
    `. Its lowest point for x = ${readable(x)}, γ = ${readable(gamma)} is `,
    ["accent", projection],
    " for the indicator and ",
    ["accent", shrunk],
    " for |y|.",
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "gamma", label: "γ", from: 0.1, to: 3, marks: [[1, "1"]] },
];

export default stage({ start, dials, views, words });
