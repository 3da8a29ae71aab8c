// Random numbers that NumPy gives too: np.random.RandomState(seed).standard_normal(n), which NumPy
// keeps as it is for good. Marsaglia's polar method; the logarithm may differ in the last digit.

import { MersenneTwister } from "./mersenne_twister.js";

/**
 * `count` independent normal numbers with mean 0 and variance 1.
 *
 * @param {number} seed
 * @param {number} count
 */
export function standardNormal(seed, count) {
  const random = new MersenneTwister(seed);
  const numbers = new Float64Array(count + 1);
  for (let i = 0; i < count; i += 2) {
    let u, v, square;
    do {
      u = 2 * random.uniform() - 1;
      v = 2 * random.uniform() - 1;
      square = u * u + v * v;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    numbers[i] = factor * v;
    numbers[i + 1] = factor * u;
  }
  return numbers.subarray(0, count);
}
