// Evaluates the networks that `forward-stability export` writes. Plain JavaScript, float64.
//
// Features are {channels, height, width, data} with data a Float64Array in the order channel, row,
// column: a PyTorch tensor (channels, height, width), flattened. The layers are those of
// forward_stability/folding.py and folded_residual.py, and the operators those of operators.py
// (chapter 7).

// A convolution with a 3x3 filter g gives 2x2 pixels from each 4x4 square d of its input as
// Aᵀ ((G g Gᵀ) ∘ (Bᵀ d B)) A, with 16 products in place of 36 (Lavin and Gray, Fast algorithms for
// convolutional neural networks, 2016, after Winograd):
//
//        1  0 -1  0         1   0   0
//   Bᵀ = 0  1  1  0    G = 1/2 1/2 1/2    Aᵀ = 1  1  1  0
//        0 -1  1  0        1/2-1/2 1/2         0  1 -1 -1
//        0  1  0 -1         0   0   1

const OUT = 4; // output channels that the convolution computes at once
const LEFT = [0, 1, 2, 1], RIGHT = [2, 2, 1, 3], SIGN = [-1, 1, -1, -1]; // the columns of B

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

/** A 3x3 filter (out, in, 3, 3) as G g Gᵀ (4x4), in the order out / 4, 4x4, in, 4. */
function transformed({ shape: [out, into, n], data }) {
  if (n !== 3) throw new Error(`the engine has 3x3 filters only, not ${n}x${n}`);
  const U = new Float64Array(Math.ceil(out / OUT) * 16 * into * OUT);
  const G = (a, b, c) => [a, (a + b + c) / 2, (a - b + c) / 2, c];
  for (let o = 0; o < out; o++)
    for (let c = 0; c < into; c++) {
      const g = data.subarray((o * into + c) * 9, (o * into + c + 1) * 9);
      const columns = [0, 1, 2].map((j) => G(g[j], g[3 + j], g[6 + j]));
      for (let i = 0; i < 4; i++)
        G(columns[0][i], columns[1][i], columns[2][i]).forEach((u, j) => {
          U[((Math.floor(o / OUT) * 16 + 4 * i + j) * into + c) * OUT + (o % OUT)] = u;
        });
    }
  return { out, into, U };
}

function features(channels, height, width) {
  return { channels, height, width, data: new Float64Array(channels * height * width) };
}

let spare = new Float64Array(0); // for the transformed squares of one convolution after another

/** Bᵀ d B (4x4) of the squares d of x, in the order square / 2, 4x4, channel, 2. */
function squares({ channels, height, width, data }, down, across) {
  const length = Math.ceil((down * across) / 2) * 32 * channels;
  if (spare.length < length) spare = new Float64Array(length);
  const V = spare;
  const around = (count, side) =>
    Int32Array.from({ length: 2 * count + 2 }, (_, i) => (i + side - 1) % side);
  const rows = around(down, height).map((i) => i * width), columns = around(across, width);
  const step = 2 * channels, plane = height * width;
  for (let i = 0, square = 0; i < down; i++) {
    const r0 = rows[2 * i], r1 = rows[2 * i + 1], r2 = rows[2 * i + 2], r3 = rows[2 * i + 3];
    for (let j = 0; j < across; j++, square++)
      for (let t = 0; t < 4; t++) {
        // The column t of d B is the sum or the difference of two columns of d.
        const p = columns[2 * j + LEFT[t]], q = columns[2 * j + RIGHT[t]], sign = SIGN[t];
        let to = ((square >> 1) * 16 + t) * step + (square & 1);
        for (let c = 0, at = 0; c < channels; c++, to += 2, at += plane) {
          const d0 = data[at + r0 + p] + sign * data[at + r0 + q];
          const d1 = data[at + r1 + p] + sign * data[at + r1 + q];
          const d2 = data[at + r2 + p] + sign * data[at + r2 + q];
          const d3 = data[at + r3 + p] + sign * data[at + r3 + q];
          V[to] = d0 - d2;
          V[to + 4 * step] = d1 + d2;
          V[to + 8 * step] = d2 - d1;
          V[to + 12 * step] = d1 - d3;
        }
      }
  }
  return V;
}

const M = new Float64Array(16 * 2 * OUT); // the sums over the channels, in the order 4x4, square, 4

/** M for 4 output channels, whose filters begin at u, and 2 squares, which begin at v. */
function multiply(U, u, V, v, into) {
  // "| 0" tells the compiler that an index is a 32-bit integer: a sixth faster.
  for (let t = 0; t < M.length; t += 2 * OUT) {
    let a0 = 0, a1 = 0, a2 = 0, a3 = 0; // the first square
    let b0 = 0, b1 = 0, b2 = 0, b3 = 0; // the second
    for (const end = v + 2 * into; v < end; v = (v + 2) | 0, u = (u + OUT) | 0) {
      const a = V[v], b = V[(v + 1) | 0];
      const u0 = U[u], u1 = U[(u + 1) | 0], u2 = U[(u + 2) | 0], u3 = U[(u + 3) | 0];
      a0 += u0 * a; a1 += u1 * a; a2 += u2 * a; a3 += u3 * a;
      b0 += u0 * b; b1 += u1 * b; b2 += u2 * b; b3 += u3 * b;
    }
    M[t] = a0; M[t + 1] = a1; M[t + 2] = a2; M[t + 3] = a3;
    M[t + 4] = b0; M[t + 5] = b1; M[t + 6] = b2; M[t + 7] = b3;
  }
}

/** The periodic convolution K * x + b. */
function convolve(x, { out, into, U }, b) {
  const y = features(out, x.height, x.width);
  const { height, width, data } = y;
  const down = Math.ceil(height / 2), across = Math.ceil(width / 2);
  const V = squares(x, down, across);
  for (let o = 0; o < out; o += OUT)
    for (let square = 0; square < down * across; square++) {
      const half = square & 1;
      if (half === 0) multiply(U, o * 16 * into, V, square * 16 * into, into);
      const i = 2 * Math.floor(square / across), j = 2 * (square % across);
      const right = j + 1 < width, below = i + 1 < height; // false at the end of an odd side
      for (let n = 0; n < OUT && o + n < out; n++) {
        const m = OUT * half + n, z = b[o + n];
        // p and q are the rows of Aᵀ M.
        const p0 = M[m] + M[m + 32] + M[m + 64], q0 = M[m + 32] - M[m + 64] - M[m + 96];
        const p1 = M[m + 8] + M[m + 40] + M[m + 72], q1 = M[m + 40] - M[m + 72] - M[m + 104];
        const p2 = M[m + 16] + M[m + 48] + M[m + 80], q2 = M[m + 48] - M[m + 80] - M[m + 112];
        const p3 = M[m + 24] + M[m + 56] + M[m + 88], q3 = M[m + 56] - M[m + 88] - M[m + 120];
        const at = ((o + n) * height + i) * width + j;
        data[at] = z + p0 + p1 + p2;
        if (right) data[at + 1] = z + p1 - p2 - p3;
        if (below) data[at + width] = z + q0 + q1 + q2;
        if (right && below) data[at + width + 1] = z + q1 - q2 - q3;
      }
    }
  return y;
}

/** σ(x), in place. */
function rectified(x) {
  const { data } = x;
  for (let at = 0; at < data.length; at++) data[at] = relu(data[at]);
  return x;
}

/** x - y, in the place of y. */
function difference(x, y) {
  const from = x.data, to = y.data;
  for (let at = 0; at < to.length; at++) to[at] = from[at] - to[at];
  return y;
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
    const K = transformed(of.matrix("K")), b = of.vector("b");
    return (x) => convolve(x, K, b);
  },
  "residual D"(_, of) {
    return residual(of.matrix("K1"), of.vector("b1"), of.matrix("K2"), of.vector("b2"));
  },
  residual({ stride }, of) {
    return residual(of.matrix("K1"), of.vector("b1"), of.matrix("K2"), of.vector("b2"), { stride });
  },
  "residual S"({ outer_relu: outer }, of) {
    const K = of.matrix("K");
    const K1 = scaled(K, of.vector("d1")), K2 = adjoint(K, of.vector("d2"));
    return residual(K1, of.vector("b1"), K2, of.vector("b2"), { outer });
  },
  "2D pooling"(_, of) {
    const K = transformed(of.matrix("K")), b = of.vector("b");
    return (x) => {
      const y = rectified(subsample(convolve(x, K, b), 2));
      return rectified(difference(padChannels(pool(x), K.out), y));
    };
  },
  halving() {
    return pool;
  },
  flattening() {
    return ({ data }) => ({ channels: data.length, height: 1, width: 1, data });
  },
  "global pooling"() {
    return (x) => {
      const y = features(x.channels, 1, 1);
      const pixels = x.height * x.width;
      x.data.forEach((z, at) => (y.data[Math.floor(at / pixels)] += relu(z) / pixels));
      return y;
    };
  },
  classifier(_, of) {
    const { shape, data } = of.matrix("W"), b = of.vector("b");
    return (x) => {
      const y = features(shape[0], 1, 1);
      y.data.forEach((_z, c) => {
        y.data[c] = x.data.reduce((sum, z, i) => sum + data[c * shape[1] + i] * z, b[c]);
      });
      return y;
    };
  },
};

/**
 * x ↦ σ(S x − A2 σ(A1 x + b1) + b2), where S takes every stride-th pixel and pads the channels;
 * without the outer σ if `outer` is false.
 */
function residual(first, b1, second, b2, { stride = 1, outer = true } = {}) {
  const K1 = transformed(first), K2 = transformed(second);
  const minus = b2.map((z) => -z);
  return (x) => {
    const y = rectified(subsample(convolve(x, K1, b1), stride));
    const z = convolve(y, K2, minus);
    difference(padChannels(subsample(x, stride), K2.out), z);
    return outer ? rectified(z) : z;
  };
}

/** A network, from the ArrayBuffer of an exported file; `header` is that of export.Export. */
class Network {
  constructor(buffer) {
    const { header, tensors } = readTensors(buffer);
    this.header = header;
    this.mean = tensors.mean.data;
    this.layers = header.layers.map((layer, index) => {
      if (!Object.hasOwn(LAYERS, layer.kind))
        throw new Error(`the engine has no layer of kind '${layer.kind}'`);
      return LAYERS[layer.kind](layer, {
        matrix: (name) => weights(tensors, `${index}.${name}`),
        vector: (name) => tensors[`${index}.${name}`].data,
      });
    });
  }

  /** x^0, x^1, …, x^N for an image with values in [0, 1] (an array in the order of the shape). */
  features(image) {
    const x = features(...this.header.shape);
    if (image.length !== x.data.length)
      throw new Error(`an image has ${x.data.length} numbers, not ${image.length}`);
    const pixels = x.height * x.width;
    for (let at = 0; at < image.length; at++)
      x.data[at] = image[at] - this.mean[Math.floor(at / pixels)];
    const all = [x];
    for (const layer of this.layers) all.push(layer(all.at(-1)));
    return all;
  }
}

/** The Euclidean distance of two features. */
function distance(x, y) {
  return Math.sqrt(x.data.reduce((sum, z, at) => sum + (z - y.data[at]) ** 2, 0));
}
