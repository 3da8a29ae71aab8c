// Chapter 7: a filter of nine numbers, a wave before and after it, and how much each wave is stretched.

import { latest } from "./latest.js";
import { readable } from "./plot.js";
import { stage } from "./stage.js";

/** @import { Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const [SIDE, MOST] = [8, 2];
const PIXELS = Array.from({ length: SIDE }, (_, i) => i);

const start = { K: [-0.5, 0, 0.5, -1, 0, 1, -0.5, 0, 0.5], wave: [1, 2], stride: "stride 1" };

/** exp(2πi n / SIDE) for n = 0, 1, …, real and imaginary parts. */
const ROOTS = [Math.cos, Math.sin].map((f) => PIXELS.map((n) => f((2 * Math.PI * n) / SIDE)));

/**
 * The absolute value of the symbol of the filter at a frequency.
 *
 * @param {number[]} K
 * @param {number} k
 * @param {number} l
 */
function stretch(K, k, l) {
  let [real, imaginary] = [0, 0];
  K.forEach((z, n) => {
    const turn = (k * (Math.floor(n / 3) - 1) + l * ((n % 3) - 1)) & (SIDE - 1); // mod 8
    real += z * ROOTS[0][turn];
    imaginary += z * ROOTS[1][turn];
  });
  return Math.hypot(real, imaginary);
}

/** The frequencies whose waves agree on every other pixel. @param {number[]} wave */
const aliases = ([k, l]) => [[k, l], [k + SIDE / 2, l], [k, l + SIDE / 2], [k + SIDE / 2, l + SIDE / 2]].map((f) => f.map(centred));

/** @param {number} k */
const centred = (k) => ((((k + SIDE / 2) % SIDE) + SIDE) % SIDE) - SIDE / 2;

/** @param {number[]} K @param {number[]} wave @param {number} s the stride */
const size = (K, wave, s) => (s === 1 ? stretch(K, wave[0], wave[1]) : Math.hypot(...aliases(wave).map(([k, l]) => stretch(K, k, l))) / 2);

/** @param {number[]} wave */
const pixels = ([k, l]) => PIXELS.map((i) => PIXELS.map((j) => Math.cos((2 * Math.PI * (k * i + l * j)) / SIDE)));

/** @param {number[]} K @param {number[][]} x @param {number} s */
function filtered(K, x, s) {
  const at = (/** @type {number} */ i, /** @type {number} */ j) => x[(i + SIDE) % SIDE][(j + SIDE) % SIDE];
  return PIXELS.map((i) =>
    PIXELS.map((j) => (i % s || j % s ? NaN : K.reduce((sum, z, n) => sum + z * at(i + Math.floor(n / 3) - 1, j + (n % 3) - 1), 0))),
  );
}

/** @param {typeof start} state */
function compute({ K, stride }) {
  const s = Number(stride.slice(-1));
  const all = PIXELS.map((i) => PIXELS.map((j) => stretch(K, SIDE / 2 - 1 - i, j - SIDE / 2)));
  const norm = Math.max(...PIXELS.flatMap((k) => PIXELS.map((l) => size(K, [k, l], s))));
  return { s, all, norm };
}

const solve = latest(compute, ["K", "stride"]);

/** @param {typeof start} state @returns {View<typeof start>} */
function filter({ K }) {
  const rows = [0, 1, 2].map((i) => K.slice(3 * i, 3 * i + 3));
  return {
    title: "the filter",
    x: { from: 0, to: 3, bare: true },
    y: { from: 0, to: 3, bare: true },
    ratio: 1,
    marks: [
      { kind: "cells", values: rows, most: 2 * MOST },
      ...K.map((z, n) => /** @type {const} */ ({ kind: "text", at: /** @type {Point} */ ([(n % 3) + 0.08, 3 - Math.floor(n / 3) - 0.2]), text: readable(z) })),
    ],
    handles: K.map((z, n) => {
      const [column, middle] = [(n % 3) + 0.5, 2.5 - Math.floor(n / 3)];
      return {
        label: `tap ${Math.floor(n / 3) + 1}, ${(n % 3) + 1}`,
        at: /** @type {Point} */ ([column, middle + (0.4 * z) / MOST]),
        look: z < 0 ? "D" : "original",
        along: "y",
        value: z,
        move: (state, [, y]) => {
          const value = Math.min(Math.max(((y - middle) * MOST) / 0.4, -MOST), MOST);
          return { K: state.K.map((old, i) => (i === n ? Number(value.toFixed(1)) : old)) };
        },
      };
    }),
  };
}

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const { s, all, norm } = solve(state);
  const [k, l] = state.wave;
  const place = (/** @type {number[]} */ [a, b]) => /** @type {Point} */ ([b + SIDE / 2 + 0.5, a + SIDE / 2 + 0.5]);
  const square = { x: { from: 0, to: SIDE, bare: true }, y: { from: 0, to: SIDE, bare: true }, ratio: 1 };
  const x = pixels(state.wave);
  return [
    filter(state),
    {
      ...square,
      title: "how much each wave is stretched",
      marks: [
        { kind: "cells", values: all, most: norm * (s === 1 ? 1 : 2) || 1 },
        { kind: "dots", points: s === 1 ? [] : aliases(state.wave).map(place), look: "accent", radius: 6 },
      ],
      handles: [
        {
          label: "the frequency of the wave, slow ones in the middle",
          step: 1,
          at: place([k, l]),
          look: "accent",
          move: (_, [column, row]) => ({ wave: [row, column].map((z) => Math.min(Math.max(Math.floor(z) - SIDE / 2, -SIDE / 2), SIDE / 2 - 1)) }),
        },
      ],
    },
    { ...square, title: "the wave", marks: [{ kind: "cells", values: x, most: 1 }] },
    { ...square, title: "what the filter makes of it", marks: [{ kind: "cells", values: filtered(state.K, x, s), most: norm || 1 }] },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const { s, norm } = solve(state);
  const [k, l] = state.wave;
  const own = size(state.K, state.wave, s);
  return [
    "The wave of frequency ",
    ["accent", `(${readable(k)}, ${readable(l)})`],
    s === 1 ? " comes out " : " agrees with three others on the pixels that are kept; together they come out at most ",
    ["original", readable(own)],
    ` times as strong. The most that any wave gets is the norm, ${readable(norm)}.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [{ kind: "choice", name: "stride", label: "every pixel, or every other one", options: ["stride 1", "stride 2"] }];

export default stage({ start, dials, views, words });
