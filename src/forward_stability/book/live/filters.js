// Filters that are made from others, as in forward_stability/folding.py.

/** @import { Description } from "./layers.js" */
/** @import { Weights } from "./safetensors.js" */

/**
 * A filter (out, in, n, n) or a matrix (out, in), flattened.
 *
 * @typedef {{ shape: number[], data: Float64Array }} Filter
 */

/**
 * The filter of D2 Aᵀ from that of A: turned by 180°, channels swapped, rows scaled.
 *
 * @param {Filter} filter
 * @param {ArrayLike<number>} scale
 * @returns {Filter}
 */
export function adjoint({ shape: [out, into, n], data }, scale) {
  const turned = new Float64Array(data.length);
  const taps = n * n;
  for (let o = 0; o < out; o++)
    for (let i = 0; i < into; i++)
      for (let t = 0; t < taps; t++)
        turned[(i * out + o) * taps + t] = scale[i] * data[(o * into + i + 1) * taps - 1 - t];
  return { shape: [into, out, n, n], data: turned };
}

/**
 * The filter with its rows scaled: that of D1 A from that of A.
 *
 * @param {Filter} filter
 * @param {ArrayLike<number>} scale
 * @returns {Filter}
 */
function scaled({ shape, data }, scale) {
  const row = data.length / shape[0];
  return { shape, data: data.map((k, i) => k * scale[Math.floor(i / row)]) };
}

/**
 * The filters of A1 and A2 of a residual layer: ResNet-S has one, A, with A1 = D1 A and A2 = D2 Aᵀ.
 *
 * @param {Description} description
 * @param {Weights} weights
 * @returns {[Filter, Filter]}
 */
export function residualFilters({ kind }, weights) {
  if (kind !== "residual S") return [weights.matrix("K1"), weights.matrix("K2")];
  const K = weights.matrix("K");
  return [scaled(K, weights.vector("d1")), adjoint(K, weights.vector("d2"))];
}
