// The layers of forward_stability/folding.py and folded_residual.py.

/** @import { Features } from "./features.js" */
/** @import { Weights } from "./safetensors.js" */
import { convolve, transformed } from "./convolution.js";
import { residualFilters } from "./filters.js";
import {
  difference, globalMean, halved, padChannels, pointwise, rectified, subsample, unshuffled,
} from "./operators.js";

/** @typedef {(x: Features) => Features} Layer */

/**
 * A layer in the header of a file: its kind and its options.
 *
 * @typedef {{ kind: string, stride?: number, outer_relu?: boolean }} Description
 */

/**
 * What each kind of layer computes.
 *
 * @type {Record<string, (options: Description, weights: Weights) => Layer>}
 */
const LAYERS = {
  convolution(_, weights) {
    const K = transformed(weights.matrix("K")), b = weights.vector("b");
    return (x) => convolve(x, K, b);
  },

  "residual D": residual,
  residual,
  "residual S": residual,

  "2D pooling"(_, weights) {
    const K = transformed(weights.matrix("K")), b = weights.vector("b");
    return (x) => {
      const y = rectified(subsample(convolve(x, K, b), 2));
      return rectified(difference(padChannels(halved(x), K.out), y));
    };
  },

  "global pooling"() {
    return (x) => globalMean(rectified({ ...x, data: x.data.slice() }));
  },

  halving() {
    return halved;
  },

  flattening() {
    return ({ data }) => ({ channels: data.length, height: 1, width: 1, data });
  },

  unshuffling(_, weights) {
    const W = weights.matrix("W"), b = weights.vector("b");
    return (x) => pointwise(unshuffled(x), W, b);
  },

  classifier(_, weights) {
    const W = weights.matrix("W"), b = weights.vector("b");
    return (x) => pointwise(x, W, b);
  },
};

/**
 * x ↦ σ(S x − A2 σ(A1 x + b1) + b2), where S takes every stride-th pixel and pads the channels;
 * without the outer σ if `outer_relu` is false.
 *
 * @param {Description} description
 * @param {Weights} weights with the biases b1 and b2
 * @returns {Layer}
 */
function residual(description, weights) {
  const { stride = 1, outer_relu: outer = true } = description;
  const [K1, K2] = residualFilters(description, weights).map(transformed);
  const b1 = weights.vector("b1"), minus = weights.vector("b2").map((z) => -z);
  return (x) => {
    const y = rectified(subsample(convolve(x, K1, b1), stride));
    const z = difference(padChannels(subsample(x, stride), K2.out), convolve(y, K2, minus));
    return outer ? rectified(z) : z;
  };
}

/**
 * A layer from its entry in the header and its weights.
 *
 * @param {Description} description
 * @param {Weights} weights
 */
export function makeLayer(description, weights) {
  const { kind } = description;
  if (!Object.hasOwn(LAYERS, kind)) throw new Error(`the engine has no layer of kind '${kind}'`);
  return LAYERS[kind](description, weights);
}
