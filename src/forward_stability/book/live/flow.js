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
    const there = rungeKutta(x, of, F, time);
    if (inside(there)) return there;
    const part = contact(x, of, F, time);
    const lowest = rungeKutta(x, of, F, part);
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
 * @param {Vector} F the force at x
 * @param {number} time after which it is behind the wall
 */
function contact(x, of, F, time) {
  let [low, high] = [0, time];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break; // no number is between the two
    if (inside(rungeKutta(x, of, F, middle))) low = middle;
    else high = middle;
  }
  return high;
}

/** @param {Vector} x */
function inside(x) {
  for (let i = 0; i < x.length; i++) if (!(x[i] >= 0)) return false;
  return true;
}

/**
 * One step of x' = −F for the entries that are not held at x.
 *
 * @param {Vector} x
 * @param {(x: Vector) => Vector} of
 * @param {Vector} F the force at x
 * @param {number} h the length of the step
 */
function rungeKutta(x, of, F, h) {
  const slope = (/** @type {Vector} */ f) => {
    const v = new Array(f.length);
    for (let i = 0; i < f.length; i++) v[i] = x[i] <= 0 && F[i] >= 0 ? 0 : -f[i];
    return v;
  };
  const a = slope(F);
  const b = slope(of(plus(x, h / 2, a)));
  const c = slope(of(plus(x, h / 2, b)));
  const d = slope(of(plus(x, h, c)));
  const there = new Array(x.length);
  for (let i = 0; i < x.length; i++) there[i] = x[i] + (h / 6) * (a[i] + 2 * b[i] + 2 * c[i] + d[i]);
  return there;
}
