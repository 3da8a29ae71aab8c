// Chapter 2: a wind that turns around a point; layers beside the flow.

import { minus, norm } from "./algebra.js";
import { flow } from "./flow.js";
import { latest } from "./latest.js";
import { WALLS } from "./orthant.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";
import { path, relu } from "./steps.js";

/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const CENTRE = [1.2, 1];
const TIME = 6;

const start = { x: [1.9, 1.3], layers: 20 };

/** F = −R (x − p), where R turns by a quarter. @param {number[]} x */
const force = ([a, b]) => [b - CENTRE[1], CENTRE[0] - a];

const thinPath = latest((/** @type {typeof start} */ { x }) => flow(x, force, TIME, 240), ["x"]);

/** @param {typeof start} state */
function paths(state) {
  const { x, layers } = state;
  return [thinPath(state), path(x, force, TIME / layers, layers)];
}

/** @param {typeof start} state */
function views(state) {
  const [thin, thick] = /** @type {Point[][]} */ (paths(state));
  const touching = thick.filter((z) => Math.min(...z) === 0);
  /** @type {Mark[]} */
  const marks = [
    ...WALLS,
    { kind: "dots", points: [/** @type {Point} */ (CENTRE)], look: "bound", radius: 2 },
    { kind: "line", points: thin, look: "D" },
    { kind: "line", points: thick, look: "original thin" },
    { kind: "dots", points: thick, look: "original", radius: 3 },
    { kind: "dots", points: touching, look: "accent", radius: 5 },
  ];
  /** @type {View<typeof start>} */
  const view = {
    x: { from: -0.5, to: 3.5, label: "x₁" },
    y: { from: -0.5, to: 3, label: "x₂" },
    ratio: 0.875,
    marks,
    handles: [
      {
        label: "the start",
        at: /** @type {Point} */ (state.x),
        look: "D",
        move: (_, to) => ({ x: relu(to) }),
      },
    ],
  };
  return [view];
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const [thin, thick] = paths(state);
  const contacts = (/** @type {number[][]} */ places) => places.filter((z) => Math.min(...z) <= 0).length;
  const apart = norm(minus(thin[thin.length - 1], thick[state.layers]));
  return [
    ["D", "The flow"],
    contacts(thin) ? " meets a wall; " : " meets no wall; ",
    ["original", `${state.layers} layers`],
    ` of thickness ${readable(TIME / state.layers)} are `,
    ["accent", `at a wall ${contacts(thick)} times`],
    `. At the end the two are ${readable(apart)} apart.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "layers", label: "number of layers", from: 4, to: 400, log: true, whole: true, marks: [[10, "10"], [40, "40"], [160, "160"]] },
];

export default stage({ start, dials, views, words });
