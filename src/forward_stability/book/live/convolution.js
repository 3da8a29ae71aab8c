// The periodic convolution with 3x3 filters, in float64.
//
// A convolution with a 3x3 filter g gives 2x2 pixels from each 4x4 square d of its input as
// Aᵀ ((G g Gᵀ) ∘ (Bᵀ d B)) A, with 16 products in place of 36 (Lavin and Gray, Fast algorithms for
// convolutional neural networks, 2016, after Winograd):
//
//        1  0 -1  0         1   0   0
//   Bᵀ = 0  1  1  0    G = 1/2 1/2 1/2    Aᵀ = 1  1  1  0
//        0 -1  1  0        1/2-1/2 1/2         0  1 -1 -1
//        0  1  0 -1         0   0   1

/** @import { Features } from "./features.js" */
/** @import { Filter } from "./filters.js" */
import { zeros } from "./features.js";
import { multiply, room } from "./products.js";

/** @typedef {{ out: number, into: number, U: Float64Array }} Transformed */

const OUT = 4; // output channels that the convolution computes at once
const LEFT = [0, 1, 2, 1], RIGHT = [2, 2, 1, 3], SIGN = [-1, 1, -1, -1]; // the columns of B

/**
 * A 3x3 filter (out, in, 3, 3) as G g Gᵀ (4x4), in the order out / 4, 4x4, in, 4.
 *
 * @param {Filter} filter
 * @returns {Transformed}
 */
export function transformed({ shape: [out, into, n], data }) {
  if (n !== 3) throw new Error(`the engine has 3x3 filters only, not ${n}x${n}`);
  const U = new Float64Array(Math.ceil(out / OUT) * 16 * into * OUT);
  /** @type {(a: number, b: number, c: number) => number[]} */
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

/**
 * Bᵀ d B (4x4) of the squares d of x, in the order square / 2, 4x4, channel, 2.
 *
 * @param {Features} x
 * @param {number} down
 * @param {number} across
 * @param {Float64Array} V
 */
function squares({ channels, height, width, data }, down, across, V) {
  const around = (/** @type {number} */ count, /** @type {number} */ side) =>
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
}

/**
 * The periodic convolution K * x + b.
 *
 * @param {Features} x
 * @param {Transformed} K
 * @param {ArrayLike<number>} b
 * @returns {Features}
 */
export function convolve(x, { out, into, U }, b) {
  const y = zeros(out, x.height, x.width);
  const { height, width, data } = y;
  const down = Math.ceil(height / 2), across = Math.ceil(width / 2);
  const [M, F, V] = room(16 * 2 * OUT, U.length, Math.ceil((down * across) / 2) * 32 * into);
  F.set(U);
  squares(x, down, across, V);
  for (let o = 0; o < out; o += OUT)
    for (let square = 0; square < down * across; square++) {
      const half = square & 1;
      if (half === 0) multiply(M, F, o * 16 * into, V, square * 16 * into, into);
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
