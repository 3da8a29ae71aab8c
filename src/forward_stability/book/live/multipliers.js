// What multipliers T prove of a layer x − A2 σ(A1 x + b) with two hidden units. Chapter 15.

import { dot, multiply, spectralNorm, times } from "./algebra.js";

/** @import { Matrix, Vector } from "./algebra.js" */

/** The sets of active units. */
const SETS = [[0, 0], [1, 0], [0, 1], [1, 1]];

/**
 * L = √(1 + λmax(B (2T − A2ᵀA2)⁻¹ Bᵀ)) with B = A2 − A1ᵀT; infinite where 2T − A2ᵀA2 is not positive.
 *
 * @type {(A1: Matrix, A2: Matrix, T: Vector) => number}
 */
export const proven = (A1, A2, T) => along(A1, A2, T[0])(T[1]);

/**
 * What is proven with this T₁, of T₂.
 *
 * @type {(A1: Matrix, A2: Matrix, T1: number) => (T2: number) => number}
 */
export function along(A1, A2, T1) {
  const [below, low] = [products(A2, 0, 1), edge(A2, T1)];
  const first = Math.sqrt(2 * T1 - products(A2, 0, 0));
  // C Cᵀ = B (2T − A2ᵀA2)⁻¹ Bᵀ, by Cholesky: C has the columns s and t, with the products a, b and c.
  const s = A2.map((row, i) => (row[0] - T1 * A1[0][i]) / first);
  const shift = times(below / first, s), a = dot(s, s);
  return (T2) => {
    const second = Math.sqrt(2 * T2 - 2 * low);
    if (!(first > 0 && second > 0)) return Infinity;
    let b = 0, c = 0;
    for (let i = 0; i < s.length; i++) {
      const t = (A2[i][1] - T2 * A1[1][i] + shift[i]) / second;
      b += s[i] * t;
      c += t * t;
    }
    const sum = a + c || 1;
    const difference = (a - c) / sum, mixed = (2 * b) / sum;
    return Math.sqrt(1 + ((a + c) / 2) * (1 + Math.sqrt(difference * difference + mixed * mixed)));
  };
}

/** The product of two columns. @param {Matrix} A2 @param {number} k @param {number} l */
function products(A2, k, l) {
  let sum = 0;
  for (let i = 0; i < A2.length; i++) sum += A2[i][k] * A2[i][l];
  return sum;
}

/**
 * T₂ where, with this T₁, 2T − A2ᵀA2 ceases to be positive.
 *
 * @type {(A2: Matrix, T1: number) => number}
 */
export function edge(A2, T1) {
  const below = products(A2, 0, 1);
  return (products(A2, 1, 1) + (below / (2 * T1 - products(A2, 0, 0))) * below) / 2;
}

/**
 * The largest norm of I − A2 D A1 over all sets D of active units: no L is below.
 *
 * @type {(A1: Matrix, A2: Matrix) => number}
 */
export function stretch(A1, A2) {
  const norms = SETS.map((units) => {
    const J = multiply(A2, A1.map((v, i) => times(-units[i], v)));
    return spectralNorm(J.map((row, i) => row.map((z, j) => z + Number(i === j))));
  });
  return Math.max(...norms);
}

/**
 * T₁ = T₂ with which L ≤ 1 + ‖A1‖‖A2‖.
 *
 * @type {(A1: Matrix, A2: Matrix) => number}
 */
export function uniform(A1, A2) {
  const [a, b] = [A1, A2].map(spectralNorm);
  return b / a + b * b;
}

/**
 * The T of the least L, by golden sections: L² is convex in T, and so is its minimum over T₂ in T₁.
 *
 * @type {(A1: Matrix, A2: Matrix) => Vector}
 */
export function best(A1, A2) {
  const [least, unit] = [products(A2, 0, 0) / 2, uniform(A1, A2) || 1];
  const at = (/** @type {number} */ s) => least + unit * Math.exp(s);
  const second = (/** @type {number} */ T1) => {
    const [low, L] = [edge(A2, T1), along(A1, A2, T1)];
    return low + unit * Math.exp(lowest((s) => L(low + unit * Math.exp(s))));
  };
  const T1 = at(lowest((s) => proven(A1, A2, [at(s), second(at(s))])));
  return [T1, second(T1)];
}

const [GOLDEN, REACH, SECTIONS] = [(Math.sqrt(5) - 1) / 2, [-20, 5], 45];

/** Where a function that falls and then rises is least. @param {(s: number) => number} f */
function lowest(f) {
  let [from, to] = REACH;
  let [s, t] = [to - GOLDEN * (to - from), from + GOLDEN * (to - from)];
  let [low, high] = [f(s), f(t)];
  for (let i = 0; i < SECTIONS; i++)
    if (low < high) {
      [to, t, high] = [t, s, low];
      low = f((s = to - GOLDEN * (to - from)));
    } else {
      [from, s, low] = [s, t, high];
      high = f((t = from + GOLDEN * (to - from)));
    }
  return (from + to) / 2;
}
