// Chapter 15: what multipliers T prove of a layer with two features and two hidden units.

import { dot, norm, spectralNorm, times, transpose } from "./algebra.js";
import { contours, corners } from "./contours.js";
import { latest } from "./latest.js";
import { along, best, edge, proven, stretch, uniform } from "./multipliers.js";
import { short } from "./numbers.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";

/** @import { Vector } from "./algebra.js" */
/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const A1 = [[1, 0], [0.6, 0.7]];
const [LOW, HIGH] = [0.2, 20];
const LEVELS = [1.25, 1.5, 2, 3, 5];
const EXPONENTS = corners(Math.log10(LOW), Math.log10(HIGH));
const POWERS = EXPONENTS.map((s) => 10 ** s);

/** 2/D of SLL, with Gershgorin's sums D of A1 A1ᵀ. */
const SLL = A1.map((v) => 2 / A1.reduce((sum, w) => sum + Math.abs(dot(v, w)), 0));

const start = { T: [1, 6], u1: [0.4, -0.5], u2: [-0.1, 1.2] };

/** @param {typeof start} state */
function compute({ u1, u2 }) {
  const A2 = transpose([u1, u2]);
  const same = uniform(A1, A2);
  const T = best(A1, A2);
  const samples = POWERS.map((T1) => POWERS.map(along(A1, A2, T1)).map((L) => L ** -2));
  const lines = labelled(levels(samples, LEVELS, "bound thin"));
  return { A2, T, least: proven(A1, A2, T), same: [same, same], samples, lines };
}

const solve = latest(compute, ["u1", "u2"]);

/**
 * Where T proves certain L, on axes that are logarithmic.
 *
 * @param {number[][]} samples of 1/L² at POWERS, which is 0 where T proves nothing
 * @param {number[]} constants
 * @param {string} look
 * @returns {Mark[]}
 */
function levels(samples, constants, look) {
  return contours(samples, constants.map((L) => L ** -2), EXPONENTS, look).map((mark) =>
    mark.kind === "lines" ? { ...mark, pieces: mark.pieces.map((piece) => piece.map(([x, y]) => [10 ** x, 10 ** y])) } : mark,
  );
}

/** Lines with their L, where T₁T₂ is largest among points with room for it. @param {Mark[]} lines @returns {Mark[]} */
function labelled(lines) {
  return lines.flatMap((mark, i) => {
    const points = mark.kind === "lines" ? mark.pieces.flat().filter((z) => Math.max(...z) < HIGH / 1.5) : [];
    if (!points.length) return [mark];
    const [x, y] = points.reduce((far, z) => (z[0] * z[1] > far[0] * far[1] ? z : far));
    return [mark, { kind: "text", at: [x, y * 1.05], text: readable(LEVELS[i]), look: "bound" }];
  });
}

/** The T with B = 0, if each column of A2 is along its row of A1. @param {typeof start} state */
function corner({ u1, u2 }) {
  const parallel = [u1, u2].every((u, i) => dot(u, A1[i]) >= (1 - 1e-12) * norm(u) * norm(A1[i]) && norm(u));
  return parallel ? [u1, u2].map((u, i) => dot(u, A1[i]) / dot(A1[i], A1[i])) : undefined;
}

/** Where 2T − A2ᵀA2 is not positive. @param {number[][]} A2 @returns {Point[]} */
function forbidden(A2) {
  const [u] = transpose(A2);
  const least = Math.max(dot(u, u) / 2, LOW / 10);
  const border = Array.from({ length: 97 }, (_, i) => least * 1.0001 * (HIGH / least) ** (i / 96));
  return [[LOW / 10, 99], [border[0], 99], ...border.map((z) => /** @type {Point} */ ([z, edge(A2, z)])), [99, LOW / 10], [LOW / 10, LOW / 10]];
}

/** @param {Vector} at @param {string} text @param {string} look @param {boolean} [left] @returns {Mark[]} */
function named([x, y], text, look, left) {
  const aside = left ? 1 / 1.15 : 1.15;
  return [
    { kind: "dots", points: [[x, y]], look, radius: 5 },
    { kind: "text", at: [x * aside, y * aside], text, look, anchor: left ? "end" : "start" },
  ];
}

/** @param {number} L */
const said = (L) => (L < 1000 ? L.toFixed(3) : L < Infinity ? short(L) : "nothing");

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const { A2, T, same, samples, lines } = solve(state);
  const [v1, v2, u1, u2, at] = /** @type {Point[]} */ ([...A1, state.u1, state.u2, state.T]);
  const L = proven(A1, A2, at);
  const zero = corner(state);
  const held = (/** @type {Vector} */ to) => to.map((z) => Math.min(Math.max(z, LOW), HIGH));
  return [
    {
      title: "rows v of A₁, columns u of A₂",
      x: { from: -1.5, to: 1.5 },
      y: { from: -1.5, to: 1.5 },
      ratio: 1,
      marks: [
        { kind: "arrows", pairs: [[[0, 0], v1], [[0, 0], v2]], look: "bound" },
        { kind: "text", at: [v1[0] + 0.05, v1[1] - 0.15], text: "v₁", look: "bound" },
        { kind: "text", at: [v2[0] + 0.05, v2[1] - 0.15], text: "v₂", look: "bound" },
        { kind: "arrows", pairs: [[[0, 0], u1]], look: "D" },
        { kind: "arrows", pairs: [[[0, 0], u2]], look: "original" },
      ],
      handles: [
        { label: "u₁, the first column of A2", at: u1, look: "D", move: (_, to) => ({ u1: to }) },
        { label: "u₂, the second column of A2", at: u2, look: "original", move: (_, to) => ({ u2: to }) },
      ],
    },
    {
      title: "what T proves",
      x: { from: LOW, to: HIGH, label: "T₁", log: true },
      y: { from: LOW, to: HIGH, label: "T₂", log: true },
      ratio: 1,
      marks: [
        { kind: "area", points: forbidden(A2), look: "wall" },
        ...lines,
        ...(L < Infinity ? levels(samples, [L], "accent") : []),
        ...(zero ? named(zero, "B = 0", "D", true) : []),
        ...named(same, "norms", "original"),
        ...named(T, "best", "S"),
      ],
      handles: [{ label: "the multipliers T", at, look: "accent", move: (_, to) => ({ T: held(to) }) }],
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const { A2, least, same } = solve(state);
  const L = proven(A1, A2, state.T);
  const T = `T = (${state.T.map(readable).join(", ")})`;
  return [
    ["accent", L < Infinity ? `${T} proves L = ${said(L)}` : `${T} proves nothing: 2T − A2ᵀA2 is not positive`],
    ". ",
    ["S", `The best T proves ${said(least)}`],
    ", ",
    ["original", `that of the norms ${said(proven(A1, A2, same))}`],
    `. The four sets of active units stretch by up to ${said(stretch(A1, A2))}; 1 + ‖A1‖‖A2‖ = ${said(1 + spectralNorm(A1) * spectralNorm(A2))}.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "button", label: "A₂ = A₁ᵀ", press: () => ({ u1: A1[0], u2: A1[1] }) },
  { kind: "button", label: "SLL", press: () => ({ u1: times(SLL[0], A1[0]), u2: times(SLL[1], A1[1]) }) },
  { kind: "button", label: "turned away", press: () => ({ u1: start.u1, u2: start.u2 }) },
];

export default stage({ start, dials, views, words });
