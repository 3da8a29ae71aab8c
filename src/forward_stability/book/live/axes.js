// Scales from numbers to pixels, with ticks.

import { raised } from "./numbers.js";

/**
 * One axis of a plot: from, to, its label; logarithmic or not; without numbers if `bare`.
 *
 * @typedef {{ from: number, to: number, label?: string, log?: boolean, bare?: boolean }} Axis
 */

/** @typedef {{ (value: number): number, inverse(pixel: number): number, ticks: Tick[] }} Scale */

/** @typedef {{ value: number, text: string }} Tick */

/**
 * @param {Axis} axis
 * @param {number} start the pixel of `from`
 * @param {number} end the pixel of `to`
 * @returns {Scale}
 */
export function makeScale(axis, start, end) {
  const [into, back] = axis.log ? [Math.log10, power] : [same, same];
  const [a, b] = [into(axis.from), into(axis.to)];
  const slope = (end - start) / (b - a);
  /** @param {number} value */
  const scale = (value) => start + (into(axis.log ? Math.max(value, Number.MIN_VALUE) : value) - a) * slope;
  const room = Math.max(2, Math.abs(end - start) / 65);
  return Object.assign(scale, {
    inverse: (/** @type {number} */ pixel) => back(a + (pixel - start) / slope),
    ticks: axis.log ? powers(a, b, room) : rounds(axis.from, axis.to, room),
  });
}

/** @param {number} z */
const same = (z) => z;
/** @param {number} z */
const power = (z) => 10 ** z;

/**
 * Round numbers, at most so many.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} most
 */
function rounds(from, to, most) {
  const rough = (to - from) / most;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const distance = unit * ([1, 2, 5, 10].find((n) => n * unit >= rough) ?? 10);
  const digits = Math.max(0, -Math.floor(Math.log10(distance) + 1e-9));
  const ticks = [];
  for (let n = Math.ceil(from / distance - 1e-9); n * distance <= to + 1e-9 * distance; n++)
    ticks.push({ value: n * distance, text: signed((n * distance).toFixed(digits)) });
  return ticks;
}

/**
 * Powers of ten, at most so many.
 *
 * @param {number} from their exponents
 * @param {number} to
 * @param {number} most
 */
function powers(from, to, most) {
  const every = Math.max(1, Math.ceil((to - from) / most));
  const ticks = [];
  for (let n = Math.ceil((from - 1e-9) / every) * every; n <= to + 1e-9; n += every) {
    const plain = n >= -2 && n <= 3;
    ticks.push({ value: 10 ** n, text: plain ? String(Number((10 ** n).toPrecision(1))) : `10${raised(n)}` });
  }
  return ticks;
}

/**
 * A number with a true minus sign; −0 is 0.
 *
 * @param {string} text
 */
export function signed(text) {
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
