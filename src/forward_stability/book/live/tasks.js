// What the page asks of a worker, which holds one network.

/** @import { Features } from "./features.js" */
import { attack, length } from "./attack.js";
import { radius } from "./certificate.js";
import { deblur } from "./deblurring.js";
import { distance } from "./features.js";
import { Network } from "./network.js";
import { standardNormal } from "./normal.js";
import { answer } from "./verdict.js";

/**
 * Noisy images: image + level * direction, where the direction is another image, or the standard
 * normal noise of a seed.
 *
 * @typedef {{ image: Float64Array, direction?: Float64Array, seed?: number }} Noise
 */

/** @typedef {typeof TASKS} Tasks */

/** @type {Network} */
let network;

/** @type {{ image: Float64Array, direction: Float64Array, clean: Features[] }} */
let noise;

export const TASKS = {
  /**
   * Takes an exported file; returns its header.
   *
   * @param {{ file: ArrayBuffer }} _
   */
  open({ file }) {
    network = new Network(file);
    return network.header;
  },

  /**
   * The features x^0, …, x^N of an image.
   *
   * @param {{ image: Float64Array }} _
   */
  features({ image }) {
    return network.features(image);
  },

  /**
   * Takes the noise that the answers are about.
   *
   * @param {Noise} _
   */
  noise({ image, seed = 0, direction = standardNormal(seed, image.length) }) {
    noise = { image, direction, clean: network.features(image) };
  },

  /**
   * The index of the class that an image with any noise seems to be of.
   *
   * @param {Noise & { level: number }} _
   */
  label({ image, level, seed = 0, direction = standardNormal(seed, image.length) }) {
    const x = network.features(image.map((z, i) => z + level * direction[i]));
    return answer(x[x.length - 1].data);
  },

  /**
   * The noisy image, its scores, and how far it and its features after each stage have moved.
   *
   * @param {{ level: number }} _
   */
  answer({ level }) {
    const { direction, clean } = noise;
    const image = noise.image.map((z, i) => z + level * direction[i]);
    const x = network.features(image);
    const moved = (/** @type {number} */ n) => distance(x[n], clean[n]);
    return {
      image,
      scores: x[x.length - 1].data,
      moved: moved(0),
      distances: network.header.stages.map((stage) => moved(stage.layer)),
    };
  },

  /**
   * The scores of an image and the certified radius of the answer, 0 without a certificate.
   *
   * @param {{ image: Float64Array }} _
   */
  certify({ image }) {
    const { header: { certificate } } = network, x = network.features(image);
    const scores = x[x.length - 1].data;
    return { scores, radius: certificate ? radius(certificate, scores, length(x[0].data)) : 0 };
  },

  /**
   * One descent of an attack in the ball of a radius around an image; see attack.js.
   *
   * @param {{ image: Float64Array, radius: number, seed: number, steps: number }} _
   */
  attack({ image, radius: r, seed, steps }) {
    return attack(network, image, r, { seed, steps });
  },

  /**
   * The next image of plug-and-play; see deblurring.js.
   *
   * @param {{ x: Float64Array, y: Float64Array, strength: number }} at
   */
  deblur(at) {
    return deblur(network, at);
  },
};
