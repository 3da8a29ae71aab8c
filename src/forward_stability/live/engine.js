// Evaluates the networks that `forward-stability export` writes. Plain JavaScript, float64.
//
// Features are {channels, height, width, data} with data a Float64Array in the order channel, row,
// column: a PyTorch tensor (channels, height, width), flattened. The layers are those of
// forward_stability/folding.py, and the operators those of operators.py (chapter 7).

const OUT = 4; // output channels that the convolution computes at once

/** The metadata and the tensors (typed arrays) of a safetensors file, given as an ArrayBuffer. */
function readTensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const entries = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const kinds = { F32: Float32Array, I16: Int16Array };
  const tensors = {};
  for (const [name, entry] of Object.entries(entries)) {
    if (name === "__metadata__") continue;
    const [start, end] = entry.data_offsets.map((offset) => 8 + length + offset);
    tensors[name] = { shape: entry.shape, data: new kinds[entry.dtype](buffer.slice(start, end)) };
  }
  return { header: JSON.parse(entries.__metadata__.metadata), tensors };
}

/** The weights of a stored filter or matrix: 16-bit integers times the scale of their row. */
function weights(tensors, name) {
  const { shape, data } = tensors[name];
  const scale = tensors[`${name}.scale`].data;
  const row = data.length / shape[0];
  return { shape, data: Float64Array.from(data, (q, i) => q * scale[Math.floor(i / row)]) };
}

/** The filter of D2 Aᵀ from that of A: turned by 180°, channels swapped, rows scaled. */
function adjoint({ shape: [out, into, n], data }, scale) {
  const turned = new Float64Array(data.length);
  const taps = n * n;
  for (let o = 0; o < out; o++)
    for (let i = 0; i < into; i++)
      for (let t = 0; t < taps; t++)
        turned[(i * out + o) * taps + t] = scale[i] * data[(o * into + i + 1) * taps - 1 - t];
  return { shape: [into, out, n, n], data: turned };
}

/** The filter with its rows scaled: that of D1 A from that of A. */
function scaled({ shape, data }, scale) {
  const row = data.length / shape[0];
  return { shape, data: data.map((k, i) => k * scale[Math.floor(i / row)]) };
}

/** A 3x3 filter (out, in, 3, 3) in the order of the convolution: out / 4, in, 3, 3, 4. */
function blocked({ shape: [out, into, n], data }) {
  if (n !== 3) throw new Error(`the engine has 3x3 filters only, not ${n}x${n}`);
  const groups = Math.ceil(out / OUT);
  const order = new Float64Array(groups * into * 9 * OUT);
  for (let o = 0; o < out; o++)
    for (let i = 0; i < into * 9; i++)
      order[(Math.floor(o / OUT) * into * 9 + i) * OUT + (o % OUT)] = data[o * into * 9 + i];
  return { out, into, data: order };
}

function features(channels, height, width) {
  return { channels, height, width, data: new Float64Array(channels * height * width) };
}

/** x continued periodically by one pixel on each side; the rows are padded to `pitch` numbers. */
function padded(x, pitch) {
  const { channels, height, width, data } = x;
  const wide = new Float64Array(channels * (height + 2) * pitch);
  for (let c = 0, to = 0; c < channels; c++)
    for (let i = -1; i <= height; i++, to += pitch) {
      const from = (c * height + ((i + height) % height)) * width;
      wide[to] = data[from + width - 1];
      wide.set(data.subarray(from, from + width), to + 1);
      wide[to + width + 1] = data[from];
    }
  return wide;
}

/** The periodic convolution K * x with a blocked filter: 4 channels by 2 pixels at a time. */
function convolve(x, K, stride = 1) {
  const y = features(K.out, Math.ceil(x.height / stride), Math.ceil(x.width / stride));
  const { height, width, data: to } = y;
  const pitch = x.width + 2 + stride; // the second pixel of the last pair may lie outside
  const plane = (x.height + 2) * pitch;
  const from = padded(x, pitch);
  const w = K.data;
  const pixels = height * width;
  for (let o = 0; o < K.out; o += OUT) {
    const many = Math.min(OUT, K.out - o);
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j += 2) {
        let a0 = 0, a1 = 0, a2 = 0, a3 = 0; // pixel j
        let b0 = 0, b1 = 0, b2 = 0, b3 = 0; // pixel j + 1
        let k = o * K.into * 9;
        for (let c = 0, q = (i * pitch + j) * stride; c < K.into; c++, q += plane)
          for (let r = 0, p = q; r < 3; r++, p += pitch)
            for (let t = p; t < p + 3; t++, k += OUT) {
              const a = from[t], b = from[t + stride];
              const w0 = w[k], w1 = w[k + 1], w2 = w[k + 2], w3 = w[k + 3];
              a0 += w0 * a; a1 += w1 * a; a2 += w2 * a; a3 += w3 * a;
              b0 += w0 * b; b1 += w1 * b; b2 += w2 * b; b3 += w3 * b;
            }
        const a = [a0, a1, a2, a3], b = [b0, b1, b2, b3];
        for (let d = 0, at = o * pixels + i * width + j; d < many; d++, at += pixels) {
          to[at] = a[d];
          if (j + 1 < width) to[at + 1] = b[d];
        }
      }
  }
  return y;
}

/** value(a number of x, its channel, its index) for all of x, in place. */
function change(x, value) {
  const pixels = x.height * x.width;
  for (let c = 0, at = 0; c < x.channels; c++)
    for (const end = at + pixels; at < end; at++) x.data[at] = value(x.data[at], c, at);
  return x;
}

const relu = (z) => (z > 0 ? z : 0);

/** E: zero channels in front, half of those that are missing, and behind. */
function padChannels(x, channels) {
  if (x.channels === channels) return x;
  const y = features(channels, x.height, x.width);
  y.data.set(x.data, Math.floor((channels - x.channels) / 2) * x.height * x.width);
  return y;
}

/** Every stride-th pixel. */
function subsample(x, stride) {
  if (stride === 1) return x;
  const y = features(x.channels, Math.ceil(x.height / stride), Math.ceil(x.width / stride));
  let at = 0;
  for (let c = 0; c < x.channels; c++)
    for (let i = 0; i < x.height; i += stride)
      for (let j = 0; j < x.width; j += stride)
        y.data[at++] = x.data[(c * x.height + i) * x.width + j];
  return y;
}

/** P2: means over 2x2 squares; an odd height or width is completed with zeros. */
function pool(x) {
  const y = features(x.channels, Math.ceil(x.height / 2), Math.ceil(x.width / 2));
  for (let c = 0; c < x.channels; c++)
    for (let i = 0; i < x.height; i++)
      for (let j = 0; j < x.width; j++)
        y.data[(c * y.height + (i >> 1)) * y.width + (j >> 1)] +=
          x.data[(c * x.height + i) * x.width + j] / 4;
  return y;
}

/** What each kind of layer computes, made from the layer's entry in the header and its tensors. */
const LAYERS = {
  convolution(_, of) {
    const K = blocked(of.matrix("K")), b = of.vector("b");
    return (x) => change(convolve(x, K), (z, c) => z + b[c]);
  },
  residual({ stride }, of) {
    return residual(of.matrix("K1"), of.vector("b1"), of.matrix("K2"), of.vector("b2"), stride);
  },
  symmetric(_, of) {
    const K = of.matrix("K");
    const K1 = scaled(K, of.vector("d1")), K2 = adjoint(K, of.vector("d2"));
    return residual(K1, of.vector("b1"), K2, of.vector("b2"), 1);
  },
  pooling(_, of) {
    const K = blocked(of.matrix("K")), b = of.vector("b");
    return (x) => {
      const shortcut = padChannels(pool(x), K.out).data;
      return change(convolve(x, K, 2), (z, c, at) => relu(shortcut[at] - relu(z + b[c])));
    };
  },
  "global pooling"() {
    return (x) => {
      const y = features(x.channels, 1, 1);
      const pixels = x.height * x.width;
      x.data.forEach((z, at) => (y.data[Math.floor(at / pixels)] += relu(z) / pixels));
      return y;
    };
  },
  linear(_, of) {
    const { shape, data } = of.matrix("W"), b = of.vector("b");
    return (x) =>
      change(features(shape[0], 1, 1), (_z, c) =>
        x.data.reduce((sum, z, i) => sum + data[c * shape[1] + i] * z, b[c]));
  },
};

/** x ↦ σ(S x − A2 σ(A1 x + b1) + b2); S takes every stride-th pixel and pads the channels. */
function residual(first, b1, second, b2, stride) {
  const K1 = blocked(first), K2 = blocked(second);
  return (x) => {
    const shortcut = padChannels(subsample(x, stride), K2.out).data;
    const y = change(convolve(x, K1, stride), (z, c) => relu(z + b1[c]));
    return change(convolve(y, K2), (z, c, at) => relu(shortcut[at] - z + b2[c]));
  };
}

/** A network, from the ArrayBuffer of an exported file; `header` is that of export.Export. */
class Network {
  constructor(buffer) {
    const { header, tensors } = readTensors(buffer);
    this.header = header;
    this.mean = tensors.mean.data;
    this.layers = header.layers.map((layer, index) =>
      LAYERS[layer.kind](layer, {
        matrix: (name) => weights(tensors, `${index}.${name}`),
        vector: (name) => tensors[`${index}.${name}`].data,
      }));
  }

  /** x^0, x^1, …, x^N for an image with values in [0, 1] (an array in the order of the shape). */
  features(image) {
    const x = features(...this.header.shape);
    if (image.length !== x.data.length)
      throw new Error(`an image has ${x.data.length} numbers, not ${image.length}`);
    const all = [change(x, (_z, c, at) => image[at] - this.mean[c])];
    for (const layer of this.layers) all.push(layer(all.at(-1)));
    return all;
  }
}

/** The Euclidean distance of two features. */
function distance(x, y) {
  return Math.sqrt(x.data.reduce((sum, z, at) => sum + (z - y.data[at]) ** 2, 0));
}
