// Averaged turns of the plane, T = (1 − θ)I + θR: how they come to rest, and what is proven of it.

import { minus, norm, plus, times } from "./algebra.js";

/** @import { Vector } from "./algebra.js" */

/** κ = θ/(1 − θ). @param {number} theta */
export const kappa = (theta) => theta / (1 - theta);

/**
 * What is proven of ‖x_k − T x_k‖, at a distance from the fixed point at the start.
 *
 * @param {number} theta
 * @param {number} distance
 * @param {number} k
 */
export const residualBound = (theta, distance, k) => Math.sqrt(kappa(theta) / (k + 1)) * distance;

/**
 * x, Tx, …, Tⁿx, where R turns by an angle about 0.
 *
 * @param {Vector} x
 * @param {number} theta
 * @param {number} angle in degrees
 * @param {number} count n
 */
export function orbit(x, theta, angle, count) {
  const [c, s] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  const found = [x];
  for (let n = 0; n < count; n++) {
    const turned = [c * x[0] - s * x[1], s * x[0] + c * x[1]];
    found.push((x = plus(times(1 - theta, x), theta, turned)));
  }
  return found;
}

/** The lengths ‖x_k − x_{k+1}‖ of the steps. @param {Vector[]} places */
export const lengths = (places) => places.slice(1).map((x, k) => norm(minus(x, places[k])));

/**
 * The angle, in degrees, of the turn whose step k is longest: ‖Tx‖² = k/(k + 1) ‖x‖², or as near to
 * it as turns come.
 *
 * @param {number} theta
 * @param {number} k
 */
export function lasting(theta, k) {
  const share = 1 / ((k + 1) * 2 * theta * (1 - theta));
  return (Math.acos(Math.max(1 - share, -1)) * 180) / Math.PI;
}
