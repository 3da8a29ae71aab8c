// Evaluates a network that `forward-stability export` has written, in float64.

/** @import { Backward } from "./backward.js" */
/** @import { Certificate } from "./certificate.js" */
/** @import { Deblurring } from "./deblurring.js" */
/** @import { Description } from "./layers.js" */
import { makeBackward } from "./backward.js";
import { zeros } from "./features.js";
import { makeLayer } from "./layers.js";
import { readTensors, Weights } from "./safetensors.js";

/**
 * What a file says of its network; see forward_stability/book/export.py.
 *
 * @typedef {object} Header
 * @property {string} name
 * @property {string} variant
 * @property {string[]} classes
 * @property {[number, number, number]} shape channels, height and width of an image
 * @property {Description[]} layers
 * @property {{ name: string, layer: number, bound: number }[]} stages
 * @property {Certificate} [certificate]
 * @property {Deblurring} [deblurring] of a denoiser
 */

export class Network {
  /** @param {ArrayBuffer} file an exported file */
  constructor(file) {
    const { header, tensors } = readTensors(file);
    /** @type {Header} */
    this.header = header;
    this.mean = tensors.mean.data;
    this.tensors = tensors;
    this.layers = this.header.layers.map((layer, n) => makeLayer(layer, new Weights(tensors, n)));
    /** @type {Backward[] | undefined} */
    this.backwards = undefined; // made once an attack asks for them
  }

  /**
   * x^0, x^1, …, x^N for an image.
   *
   * @param {ArrayLike<number>} image values in [0, 1], in the order of the shape
   */
  features(image) {
    const x = zeros(...this.header.shape);
    if (image.length !== x.data.length)
      throw new Error(`an image has ${x.data.length} numbers, not ${image.length}`);
    const pixels = x.height * x.width;
    for (let at = 0; at < image.length; at++)
      x.data[at] = image[at] - this.mean[Math.floor(at / pixels)];
    const all = [x];
    for (const layer of this.layers) all.push(layer(all[all.length - 1]));
    return all;
  }

  /**
   * The scores of an image, x^N.
   *
   * @param {ArrayLike<number>} image
   */
  scores(image) {
    return this.features(image)[this.layers.length].data;
  }

  /**
   * The scores, and the gradient by the image of that of class t less that of class j.
   *
   * @param {ArrayLike<number>} image
   * @param {number} t
   * @param {number} j
   */
  gradient(image, t, j) {
    this.backwards ??= this.header.layers.map((layer, n) => makeBackward(layer, new Weights(this.tensors, n)));
    const x = this.features(image), scores = x[this.layers.length];
    let v = zeros(scores.channels, 1, 1);
    v.data[t] = 1;
    v.data[j] = -1;
    for (let n = this.layers.length - 1; n >= 0; n--) v = this.backwards[n](x[n], x[n + 1], v);
    return { scores: scores.data, gradient: v.data };
  }
}
