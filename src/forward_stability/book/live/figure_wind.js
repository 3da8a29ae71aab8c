// Chapter 5: the wind −A2 σ(A1 x) between two walls, with every entry of A2 to move.

import { minus, norm, plus } from "./algebra.js";
import { flow } from "./flow.js";
import { latest } from "./latest.js";
import { WALLS } from "./orthant.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";
import { force, relu, velocity } from "./steps.js";

/** @import { Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const A1 = [[1.2, -1], [-0.8, 1.1]];
const [TIME, STEPS, REACH] = [4, 160, 2.4];

const start = { x: [1.9, 1.5], y: [1.6, 1.75], a: 0.1, b: 0.9, c: 0.9, d: 0.1 };

/** @param {typeof start} state */
const matrix = ({ a, b, c, d }) => [[a, b], [c, d]];

const GRID = Array.from({ length: 9 }, (_, i) => Array.from({ length: 9 }, (__, j) => [i, j].map((k) => (k * REACH) / 8))).flat();

/** @param {typeof start} state */
function compute(state) {
  const A2 = matrix(state);
  const of = (/** @type {number[]} */ z) => force(z, A1, A2);
  const [p, q] = [state.x, state.y].map((z) => flow(z, of, TIME, STEPS));
  /** @type {[Point, Point][][]} */
  const [away, along] = [[], []];
  for (const z of GRID) {
    const v = velocity(z, of(z));
    (v.some((vi) => vi > 1e-12) ? away : along).push(/** @type {[Point, Point]} */ ([z, plus(z, 0.28, v)]));
  }
  return { p, q, away, along, distances: p.map((z, n) => norm(minus(z, q[n]))) };
}

const run = latest(compute, ["x", "y", "a", "b", "c", "d"]);

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const { p, q, away, along, distances } = run(state);
  const [x, y] = /** @type {Point[]} */ ([state.x, state.y]);
  const size = (/** @type {number[][]} */ places) => places.map((z, n) => /** @type {Point} */ ([(n * TIME) / STEPS, norm(z) / norm(places[0])]));
  return [
    {
      title: "the wind, and two paths",
      x: { from: -0.2, to: REACH + 0.2, label: "x₁" },
      y: { from: -0.2, to: REACH + 0.2, label: "x₂" },
      ratio: 1,
      marks: [
        ...WALLS,
        { kind: "arrows", pairs: along, look: "bound thin" },
        { kind: "arrows", pairs: away, look: "accent thin" },
        { kind: "line", points: /** @type {Point[]} */ (p), look: "D" },
        { kind: "line", points: /** @type {Point[]} */ (q), look: "S" },
      ],
      handles: [
        { label: "the first start", at: x, look: "D", move: (_, to) => ({ x: relu(to) }) },
        { label: "the second start", at: y, look: "S", move: (_, to) => ({ y: relu(to) }) },
      ],
    },
    {
      title: "relative to the start",
      x: { from: 0, to: TIME, label: "time t" },
      y: { from: 0, to: Math.max(2, Math.ceil(Math.max(...distances) / (distances[0] || 1))) },
      ratio: 1,
      marks: [
        { kind: "line", points: [[0, 1], [TIME, 1]], look: "bound dashed thin" },
        { kind: "line", points: size(p), look: "D" },
        { kind: "line", points: size(q), look: "S" },
        { kind: "line", points: distances.map((z, n) => [(n * TIME) / STEPS, z / (distances[0] || 1)]), look: "accent dashed" },
      ],
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const { away, p, distances } = run(state);
  const least = Math.min(...matrix(state).flat());
  const rises = p.some((z, n) => n > 0 && z.some((zi, i) => zi > p[n - 1][i] + 1e-12));
  return [
    least < 0 ? "An entry of A2 is negative: " : "A2 ≥ 0: ",
    ["accent", `${away.length} of ${GRID.length} arrows`],
    ` lead away from a wall${rises ? ", and a feature of " : "; no feature of "}`,
    ["D", "the first path"],
    rises ? " rises. " : " ever rises. ",
    ["accent", "The distance"],
    ` of the two paths has become ${readable(Math.max(...distances) / (distances[0] || 1))} times what it was.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = /** @type {const} */ (["a", "b", "c", "d"]).map((name, i) => ({
  kind: "slider",
  name,
  label: `entry ${Math.floor(i / 2) + 1}, ${(i % 2) + 1} of A2`,
  from: -1,
  to: 1,
  marks: [[0, "0"]],
}));

export default stage({ start, dials, views, words });
