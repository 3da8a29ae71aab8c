// The layers of layers.js backwards: the adjoint of the derivative, for gradients by the image.

/** @import { Features } from "./features.js" */
/** @import { Filter } from "./filters.js" */
/** @import { Description } from "./layers.js" */
/** @import { Weights } from "./safetensors.js" */
import { convolve, transformed } from "./convolution.js";
import { zeros } from "./features.js";
import { adjoint, residualFilters } from "./filters.js";
import { pointwise, rectified, shuffled, subsample } from "./operators.js";

/**
 * From the input x of a layer, its output y and the gradient v by y, the gradient by x.
 *
 * @typedef {(x: Features, y: Features, v: Features) => Features} Backward
 */

/** @type {Record<string, (options: Description, weights: Weights) => Backward>} */
const BACKWARDS = {
  convolution(_, weights) {
    const back = transposed(weights.matrix("K"));
    return (_x, _y, v) => back(v);
  },

  "residual D": residual,
  residual,
  "residual S": residual,

  "2D pooling"(_, weights) {
    const filter = weights.matrix("K"), b = weights.vector("b");
    const K = transformed(filter), back = transposed(filter);
    return (x, y, v) => {
      const u = where(y, v);
      const hidden = rectified(subsample(convolve(x, K, b), 2));
      return minus(spread(inner(u, x.channels), x, 1 / 4), back(apart(where(hidden, u), x, 2)));
    };
  },

  "global pooling"() {
    return (x, _y, v) => where(x, spread(v, x, 1 / (x.height * x.width)));
  },

  halving() {
    return (x, _y, v) => spread(v, x, 1 / 4);
  },

  flattening() {
    return (x, _y, { data }) => ({ ...x, data });
  },

  unshuffling(_, weights) {
    const back = turned(weights.matrix("W"));
    return (_x, _y, v) => shuffled(back(v));
  },

  classifier(_, weights) {
    const back = turned(weights.matrix("W"));
    return (_x, _y, v) => back(v);
  },
};

/**
 * Of x ↦ σ(S x − A2 σ(A1 x + b1) + b2), as in layers.js.
 *
 * @param {Description} description
 * @param {Weights} weights with the bias b1
 * @returns {Backward}
 */
function residual(description, weights) {
  const { stride = 1, outer_relu: outer = true } = description;
  const [first, second] = residualFilters(description, weights);
  const K1 = transformed(first), b1 = weights.vector("b1");
  const back1 = transposed(first), back2 = transposed(second);
  return (x, y, v) => {
    const u = outer ? where(y, v) : v;
    const hidden = rectified(subsample(convolve(x, K1, b1), stride));
    const through = back1(apart(where(hidden, back2(u)), x, stride));
    return minus(apart(inner(u, x.channels), x, stride), through);
  };
}

/**
 * The adjoint of a convolution.
 *
 * @param {Filter} filter
 */
function transposed(filter) {
  const into = filter.shape[1];
  const K = transformed(adjoint(filter, new Float64Array(into).fill(1))), b = new Float64Array(into);
  return (/** @type {Features} */ v) => convolve(v, K, b);
}

/**
 * The adjoint of a matrix at each pixel.
 *
 * @param {Filter} filter of shape (out, in)
 */
function turned({ shape: [out, into], data }) {
  const W = { shape: [into, out], data: new Float64Array(data.length) }, b = new Float64Array(into);
  data.forEach((z, at) => (W.data[(at % into) * out + Math.floor(at / into)] = z));
  return (/** @type {Features} */ v) => pointwise(v, W, b);
}

/**
 * v where y is positive, 0 elsewhere.
 *
 * @param {Features} y
 * @param {Features} v
 * @returns {Features}
 */
function where(y, v) {
  return { ...v, data: v.data.map((z, at) => (y.data[at] > 0 ? z : 0)) };
}

/**
 * v − w.
 *
 * @param {Features} v
 * @param {Features} w
 * @returns {Features}
 */
function minus(v, w) {
  return { ...v, data: v.data.map((z, at) => z - w.data[at]) };
}

/**
 * The channels that padChannels takes from its input.
 *
 * @param {Features} v
 * @param {number} channels
 * @returns {Features}
 */
function inner({ height, width, data, ...v }, channels) {
  const before = Math.floor((v.channels - channels) / 2) * height * width;
  return { channels, height, width, data: data.subarray(before, before + channels * height * width) };
}

/**
 * v at every stride-th pixel of features like x, 0 elsewhere: the adjoint of subsample.
 *
 * @param {Features} v
 * @param {Features} x
 * @param {number} stride
 */
function apart(v, { height, width }, stride) {
  if (stride === 1) return v;
  const u = zeros(v.channels, height, width);
  let at = 0;
  for (let c = 0; c < v.channels; c++)
    for (let i = 0; i < height; i += stride)
      for (let j = 0; j < width; j += stride) u.data[(c * height + i) * width + j] = v.data[at++];
  return u;
}

/**
 * v at all pixels of features like x that went into its mean, times a factor: the adjoint of halved
 * and of globalMean.
 *
 * @param {Features} v
 * @param {Features} x
 * @param {number} factor
 */
function spread(v, { channels, height, width }, factor) {
  const u = zeros(channels, height, width);
  const whole = v.height === 1 && v.width === 1;
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++) {
        const from = whole ? c : (c * v.height + (i >> 1)) * v.width + (j >> 1);
        u.data[(c * height + i) * width + j] = factor * v.data[from];
      }
  return u;
}

/**
 * A layer backwards, from its entry in the header and its weights.
 *
 * @param {Description} description
 * @param {Weights} weights
 */
export function makeBackward(description, weights) {
  return BACKWARDS[description.kind](description, weights);
}
