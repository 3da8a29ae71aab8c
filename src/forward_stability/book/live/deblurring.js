// Plug-and-play of chapter 16 with a denoiser that forward_stability/book/live/deblurring_explorer.py
// has exported: grey images with values in [0, 1], and a blur that is periodic and symmetric.

/** @import { Network } from "./network.js" */
import { zeros } from "./features.js";

/**
 * What is said of a denoiser: the factors of the blur along rows and columns, κ of the denoiser and
 * of the rest of a step; null where none is finite.
 *
 * @typedef {{ wave: number[], kappa: number | null, rest: number }} Deblurring
 */

/**
 * B x.
 *
 * @param {Float64Array} x
 * @param {number[]} wave of odd length
 * @param {number} height
 * @param {number} width
 */
export function blurred(x, wave, height, width) {
  const across = along(x, wave, height, width, 1, width);
  return along(across, wave, width, height, width, 1);
}

/**
 * The blur along `length` numbers that are `step` apart, in each of `count` lines.
 *
 * @param {Float64Array} x
 * @param {number[]} wave
 * @param {number} count
 * @param {number} length
 * @param {number} step
 * @param {number} line how far apart the lines begin
 */
function along(x, wave, count, length, step, line) {
  const y = new Float64Array(x.length), reach = (wave.length - 1) / 2;
  for (let i = 0; i < count; i++)
    for (let j = 0; j < length; j++) {
      let sum = 0;
      for (let t = 0; t < wave.length; t++)
        sum += wave[t] * x[i * line + ((((j + t - reach) % length) + length) % length) * step];
      y[i * line + j * step] = sum;
    }
  return y;
}

/**
 * D x, clamped.
 *
 * @param {Network} network
 * @param {Float64Array} x
 */
export function denoised(network, x) {
  const { shape: [channels, height, width] } = network.header;
  const from = Math.floor((channels - 1) / 2) * height * width; // where E puts an image
  const padded = zeros(channels, height, width).data;
  padded.set(x, from);
  const { data } = network.features(padded)[network.layers.length];
  return data.slice(from, from + height * width).map(clamped);
}

/**
 * The next image: a step downhill, towards Bx = y, and a part of the way to what the denoiser makes
 * of that.
 *
 * @param {Network} network
 * @param {{ x: Float64Array, y: Float64Array, strength: number }} at
 */
export function deblur(network, { x, y, strength }) {
  const { shape: [, height, width], deblurring } = network.header;
  const { wave } = /** @type {Deblurring} */ (deblurring);
  const off = blurred(x, wave, height, width).map((value, i) => value - y[i]);
  const back = blurred(off, wave, height, width); // the blur is its own adjoint
  const z = x.map((value, i) => clamped(value - back[i]));
  const d = denoised(network, z);
  return z.map((value, i) => value + strength * (d[i] - value));
}

/**
 * κ of a step with a denoiser of some strength; null if none is proven.
 *
 * @param {Deblurring} of
 * @param {number} strength β
 */
export function constant({ kappa, rest }, strength) {
  if (kappa === null) return null;
  const theta = (strength * kappa) / (1 + kappa);
  return rest + theta / (1 - theta);
}

/** @param {number} z */
const clamped = (z) => Math.min(Math.max(z, 0), 1);
