// Layers and flows of Eqs. 5-15, as the package computes them.

import { dot } from "./algebra.js";

/** @import { Matrix, Vector } from "./algebra.js" */

/**
 * σ(x), the projection onto the positive orthant.
 *
 * @type {(x: Vector) => Vector}
 */
export const relu = (x) => x.map((xi) => Math.max(xi, 0));

/**
 * σ(x − τF), the forward-backward step.
 *
 * @type {(x: Vector, F: Vector, tau: number) => Vector}
 */
export const step = (x, F, tau) => {
  const y = new Array(x.length);
  for (let i = 0; i < x.length; i++) y[i] = Math.max(x[i] - tau * F[i], 0);
  return y;
};

/**
 * The force F(x) = A2 σ(A1 x + b1) − b2 of a residual layer.
 *
 * @type {(x: Vector, A1: Matrix, A2: Matrix, b1?: Vector, b2?: Vector) => Vector}
 */
export function force(x, A1, A2, b1, b2) {
  const [active, F] = [new Array(A1.length), new Array(A2.length)];
  for (let i = 0; i < A1.length; i++) active[i] = Math.max(dot(A1[i], x) + (b1 ? b1[i] : 0), 0);
  for (let i = 0; i < A2.length; i++) F[i] = dot(A2[i], active) - (b2 ? b2[i] : 0);
  return F;
}

/**
 * The velocity of −x' ∈ N(x) + F: walls cancel what would lead through them.
 *
 * @type {(x: Vector, F: Vector) => Vector}
 */
export const velocity = (x, F) => x.map((xi, i) => (xi <= 0 && F[i] >= 0 ? 0 : -F[i]));

/**
 * x^0, x^1, …, x^N: layers with one force and one thickness.
 *
 * @param {Vector} x
 * @param {(x: Vector, n: number) => Vector} of the force at x in layer n
 * @param {number} tau
 * @param {number} layers N
 */
export function path(x, of, tau, layers) {
  const places = [x];
  for (let n = 0; n < layers; n++) places.push((x = step(x, of(x, n), tau)));
  return places;
}
