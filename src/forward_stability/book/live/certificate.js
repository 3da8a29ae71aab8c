// The certified radius of an answer, from the certificate in the header of a file; see
// forward_stability/book/page_certificate.py for the formula and what it promises.

/** @typedef {{ offset: number, slope: number }} Affine a bound by the norm of the image */
/** @typedef {{ features: Affine, scores: Affine }} Deviation */

/**
 * @typedef {object} Certificate
 * @property {number} constant of the features in front of the classifier
 * @property {number[][]} distances of the rows of the classifier
 * @property {Deviation} rounding of the arithmetic of the page
 * @property {Deviation} weights of the weights to 16 bits
 */

const UP = 1 + 1e-14, DOWN = 1 - 1e-14; // more than a few operations can be off by

/** More than rounding can take from or add to a distance of images, relative to it. */
export const ROOM = 1e-12;

/**
 * R, rounded downwards; 0 where nothing is certified.
 *
 * @param {Certificate} certificate
 * @param {Float64Array} scores
 * @param {number} norm of the image less the mean, as computed
 */
export function radius({ constant, distances, rounding, weights }, scores, norm) {
  const t = scores.indexOf(Math.max(...scores)), rho = norm * (1 + ROOM);
  let least = Infinity;
  scores.forEach((score, j) => {
    if (j === t) return;
    const w = distances[t][j];
    const off = (/** @type {Deviation} */ { features: f, scores: s }) => w * (f.offset + f.slope * rho) + 2 * (s.offset + s.slope * rho);
    const left = (scores[t] - score) * DOWN - (2 * off(rounding) + off(weights)) * UP;
    const speed = w * constant + w * rounding.features.slope + 2 * rounding.scores.slope;
    least = Math.min(least, (left / speed) * DOWN);
  });
  return Math.max(least, 0);
}
