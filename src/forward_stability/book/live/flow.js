// The flow −x' ∈ N(x) + F(x), by a solver that knows nothing of projections.

import { plus } from "./algebra.js";
import { velocity } from "./steps.js";

/** @import { Vector } from "./algebra.js" */

/**
 * The path at N + 1 even times from 0 to T. Entries at a wall are held there as long as the force
 * pushes them against it, the others follow x' = −F (classical Runge-Kutta); where one reaches a
 * wall within a step, the step is cut there.
 *
 * @param {Vector} x
 * @param {(x: Vector) => Vector} of F, the force at x
 * @param {number} T
 * @param {number} steps N
 */
export function flow(x, of, T, steps) {
  const places = [x];
  for (let n = 0; n < steps; n++) places.push((x = advance(x, of, T / steps)));
  return places;
}

/**
 * @param {Vector} x
 * @param {(x: Vector) => Vector} of
 * @param {number} time
 */
function advance(x, of, time) {
  for (let cuts = 0; time > 0 && cuts < 100; cuts++) {
    const held = velocity(x, of(x)).map((v, i) => v === 0 && x[i] <= 0);
    const there = rungeKutta(x, of, held, time);
    if (there.every((z) => z >= 0)) return there;
    const part = contact(x, of, held, time);
    const lowest = rungeKutta(x, of, held, part);
    const first = lowest.indexOf(Math.min(...lowest));
    x = lowest.map((z, i) => (i === first ? 0 : Math.max(z, 0)));
    time -= part;
  }
  return x;
}

/**
 * The time at which a first entry reaches its wall, by bisection.
 *
 * @param {Vector} x
 * @param {(x: Vector) => Vector} of
 * @param {boolean[]} held
 * @param {number} time
 */
function contact(x, of, held, time) {
  let [low, high] = [0, time];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (rungeKutta(x, of, held, middle).every((z) => z >= 0)) low = middle;
    else high = middle;
  }
  return high;
}

/**
 * One step of x' = −F for the entries that are not held.
 *
 * @param {Vector} x
 * @param {(x: Vector) => Vector} of
 * @param {boolean[]} held
 * @param {number} h
 */
function rungeKutta(x, of, held, h) {
  const slope = (/** @type {Vector} */ y) => of(y).map((f, i) => (held[i] ? 0 : -f));
  const a = slope(x);
  const b = slope(plus(x, h / 2, a));
  const c = slope(plus(x, h / 2, b));
  const d = slope(plus(x, h, c));
  return x.map((xi, i) => xi + (h / 6) * (a[i] + 2 * b[i] + 2 * c[i] + d[i]));
}
