// The operators of forward_stability/operators.py (chapter 7) that are no convolution.

/** @import { Features } from "./features.js" */
/** @import { Filter } from "./filters.js" */
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
 * U: four channels from the 2x2 pixels of one.
 *
 * @param {Features} x of even height and width
 * @returns {Features}
 */
export function unshuffled(x) {
  const y = zeros(4 * x.channels, x.height / 2, x.width / 2);
  for (let c = 0; c < y.channels; c++)
    for (let i = 0; i < y.height; i++)
      for (let j = 0; j < y.width; j++) y.data[(c * y.height + i) * y.width + j] = x.data[behind(x, c, i, j)];
  return y;
}

/**
 * The adjoint of U.
 *
 * @param {Features} y
 * @returns {Features}
 */
export function shuffled(y) {
  const x = zeros(y.channels / 4, 2 * y.height, 2 * y.width);
  for (let c = 0; c < y.channels; c++)
    for (let i = 0; i < y.height; i++)
      for (let j = 0; j < y.width; j++) x.data[behind(x, c, i, j)] = y.data[(c * y.height + i) * y.width + j];
  return x;
}

/**
 * Where x has what U puts at a pixel of a channel.
 *
 * @param {Features} x
 * @param {number} c
 * @param {number} i
 * @param {number} j
 */
function behind({ height, width }, c, i, j) {
  return ((c >> 2) * height + 2 * i + ((c >> 1) & 1)) * width + 2 * j + (c & 1);
}

/**
 * The matrix W at each pixel, and b.
 *
 * @param {Features} x
 * @param {Filter} W of shape (out, in)
 * @param {ArrayLike<number>} b
 * @returns {Features}
 */
export function pointwise(x, { shape: [out, into], data: W }, b) {
  const y = zeros(out, x.height, x.width);
  const pixels = x.height * x.width;
  for (let o = 0, at = 0; o < out; o++)
    for (let p = 0; p < pixels; p++, at++) {
      let sum = b[o];
      for (let c = 0; c < into; c++) sum += W[o * into + c] * x.data[c * pixels + p];
      y.data[at] = sum;
    }
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
