// Features: what a network computes layer by layer, from the image to the scores.

/**
 * A PyTorch tensor (channels, height, width), flattened: the order is channel, row, column.
 *
 * @typedef {{ channels: number, height: number, width: number, data: Float64Array }} Features
 */

/**
 * Features that are zero.
 *
 * @param {number} channels
 * @param {number} height
 * @param {number} width
 * @returns {Features}
 */
export function zeros(channels, height, width) {
  return { channels, height, width, data: new Float64Array(channels * height * width) };
}

/**
 * The Euclidean distance of two features.
 *
 * @param {Features} x
 * @param {Features} y
 */
export function distance(x, y) {
  return Math.sqrt(x.data.reduce((sum, z, at) => sum + (z - y.data[at]) ** 2, 0));
}
