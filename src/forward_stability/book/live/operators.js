// The operators of forward_stability/operators.py (chapter 7) that are no convolution.

/** @import { Features } from "./features.js" */
import { zeros } from "./features.js";

/**
 * σ(x), in place.
 *
 * @param {Features} x
 * @returns {Features}
 */
export function rectified(x) {
  const { data } = x;
  for (let at = 0; at < data.length; at++) data[at] = data[at] > 0 ? data[at] : 0;
  return x;
}

/**
 * x - y, in the place of y.
 *
 * @param {Features} x
 * @param {Features} y
 * @returns {Features}
 */
export function difference(x, y) {
  const from = x.data, to = y.data;
  for (let at = 0; at < to.length; at++) to[at] = from[at] - to[at];
  return y;
}

/**
 * E: zero channels in front, half of those that are missing, and behind.
 *
 * @param {Features} x
 * @param {number} channels
 * @returns {Features}
 */
export function padChannels(x, channels) {
  if (x.channels === channels) return x;
  const y = zeros(channels, x.height, x.width);
  y.data.set(x.data, Math.floor((channels - x.channels) / 2) * x.height * x.width);
  return y;
}

/**
 * Every stride-th pixel.
 *
 * @param {Features} x
 * @param {number} stride
 * @returns {Features}
 */
export function subsample(x, stride) {
  if (stride === 1) return x;
  const y = zeros(x.channels, Math.ceil(x.height / stride), Math.ceil(x.width / stride));
  let at = 0;
  for (let c = 0; c < x.channels; c++)
    for (let i = 0; i < x.height; i += stride)
      for (let j = 0; j < x.width; j += stride)
        y.data[at++] = x.data[(c * x.height + i) * x.width + j];
  return y;
}

/**
 * P2: means over 2x2 squares; an odd height or width is completed with zeros.
 *
 * @param {Features} x
 * @returns {Features}
 */
export function halved(x) {
  const y = zeros(x.channels, Math.ceil(x.height / 2), Math.ceil(x.width / 2));
  for (let c = 0; c < x.channels; c++)
    for (let i = 0; i < x.height; i++)
      for (let j = 0; j < x.width; j++)
        y.data[(c * y.height + (i >> 1)) * y.width + (j >> 1)] +=
          x.data[(c * x.height + i) * x.width + j] / 4;
  return y;
}

/**
 * Pg: the mean over the pixels of each channel.
 *
 * @param {Features} x
 * @returns {Features}
 */
export function globalMean(x) {
  const y = zeros(x.channels, 1, 1);
  const pixels = x.height * x.width;
  x.data.forEach((z, at) => (y.data[Math.floor(at / pixels)] += z / pixels));
  return y;
}
