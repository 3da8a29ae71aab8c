// An attack on an answer by projected gradient descent, as in forward_stability/attack.py.

/** @import { Network } from "./network.js" */
import { ROOM } from "./certificate.js";
import { standardNormal } from "./normal.js";
import { answer } from "./verdict.js";

/**
 * The image of a ball around x that is nearest to y, then that of the box [0, 1], which does not
 * leave the ball again. Rounding is left room for.
 *
 * @param {Float64Array} x with values in [0, 1]
 * @param {Float64Array} y
 * @param {number} r
 */
export function project(x, y, r) {
  const d = y.map((z, at) => z - x[at]);
  const factor = Math.min(1, (r * (1 - ROOM)) / length(d));
  return d.map((z, at) => Math.min(1, Math.max(0, x[at] + (factor < 1 ? factor * z : z))));
}

/** @param {Float64Array} d */
export function length(d) {
  let sum = 0;
  for (const z of d) sum += z * z;
  return Math.sqrt(sum);
}

/**
 * One descent in the ball, from a random start towards one other class: along the normalised
 * gradient of the difference of two scores, with steps that fall from 2r to 0. It ends with the
 * first image of another answer.
 *
 * @param {Network} network
 * @param {Float64Array} x
 * @param {number} r
 * @param {{ seed: number, steps: number }} options the seed also says which class is aimed at
 */
export function attack(network, x, r, { seed, steps }) {
  const clean = network.scores(x), t = answer(clean);
  const others = Array.from(clean.keys()).filter((k) => k !== t).sort((i, j) => clean[j] - clean[i]);
  const target = others[seed % others.length];
  const start = standardNormal(seed, x.length);
  const far = r / length(start);
  let y = project(x, start.map((z, at) => x[at] + far * z), r);
  for (let step = 0; ; step++) {
    const { scores, gradient } = network.gradient(y, t, target);
    const found = answer(scores) !== t;
    if (found || step === steps)
      return { image: y, scores, found, tries: step, distance: length(y.map((z, at) => z - x[at])) };
    const scale = (r * (2 - (2 * step) / steps)) / (length(gradient) || 1);
    y = project(x, y.map((z, at) => z - scale * gradient[at]), r);
  }
}
