// The flow −x' ∈ N(x) + F(x), by a solver that knows nothing of projections.

import { plus } from "./algebra.js";

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
    const F = of(x);
    const held = x.map((xi, i) => xi <= 0 && F[i] >= 0);
    const after = rungeKutta(x, of, F, held);
    const there = after(time);
    if (there.every((z) => z >= 0)) return there;
    const part = contact(after, time);
    const lowest = after(part);
    const first = lowest.indexOf(Math.min(...lowest));
    x = lowest.map((z, i) => (i === first ? 0 : Math.max(z, 0)));
    time -= part;
  }
  return x;
}

/**
 * The time at which a first entry reaches its wall, by bisection.
 *
 * @param {(time: number) => Vector} after the place after a step
 * @param {number} time
 */
function contact(after, time) {
  let [low, high] = [0, time];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (after(middle).every((z) => z >= 0)) low = middle;
    else high = middle;
  }
  return high;
}

/**
 * One step of x' = −F for the entries that are not held, of any length h.
 *
 * @param {Vector} x
 * @param {(x: Vector) => Vector} of
 * @param {Vector} F the force at x
 * @param {boolean[]} held
 */
function rungeKutta(x, of, F, held) {
  const slope = (/** @type {Vector} */ f) => f.map((fi, i) => (held[i] ? 0 : -fi));
  const a = slope(F);
  return (/** @type {number} */ h) => {
    const b = slope(of(plus(x, h / 2, a)));
    const c = slope(of(plus(x, h / 2, b)));
    const d = slope(of(plus(x, h, c)));
    return x.map((xi, i) => xi + (h / 6) * (a[i] + 2 * b[i] + 2 * c[i] + d[i]));
  };
}
