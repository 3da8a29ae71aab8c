// Evaluates a network that `forward-stability export` has written. Plain JavaScript, float64.

/** @import { Description } from "./layers.js" */
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
 */

export class Network {
  /** @param {ArrayBuffer} file an exported file */
  constructor(file) {
    const { header, tensors } = readTensors(file);
    /** @type {Header} */
    this.header = header;
    this.mean = tensors.mean.data;
    this.layers = this.header.layers.map((layer, n) => makeLayer(layer, new Weights(tensors, n)));
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
}
