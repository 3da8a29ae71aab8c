// The sums of products of the convolution, two at a time where the browser can.
//
// JavaScript has one product at a time, WebAssembly has two (its "SIMD"). Both round each product and
// each sum alike and in the same order, so that they give the same numbers, bit by bit.

const PAGE = 65536; // bytes, in which the memory of WebAssembly grows

/**
 * Of (u, v, m, into), addresses in bytes and a number of channels:
 *
 *   end = m + 1024
 *   do {                                     for each of the 4x4 entries
 *     a = a' = b = b' = (0, 0)
 *     last = v + 16 into
 *     do {                                   for each channel
 *       p = (U[u], U[u + 8]); q = (U[u + 16], U[u + 24])
 *       x = (V[v], V[v]);         a += p x; a' += q x
 *       x = (V[v + 8], V[v + 8]); b += p x; b' += q x
 *       u += 32; v += 16
 *     } while (v < last)
 *     (M[m], M[m + 8], …, M[m + 56]) = (a, a', b, b')
 *     m += 64
 *   } while (m < end)
 *
 * in the binary form of WebAssembly.
 */
const MODULE = (() => {
  const [u, v, m, into, end, last, a, a2, b, b2, p, q, x] = Array(13).keys();
  const get = (/** @type {number} */ z) => [0x20, z], set = (/** @type {number} */ z) => [0x21, z];
  const number = (/** @type {number} */ z) => (z < 64 ? [0x41, z] : [0x41, (z & 127) | 128, z >> 7]);
  const move = (/** @type {number} */ z, /** @type {number} */ by) => [...get(z), ...number(by), 0x6a, ...set(z)];
  const load = (/** @type {number} */ at, /** @type {number} */ offset) => [...get(at), 0xfd, 0, 3, offset];
  const twice = (/** @type {number} */ at, /** @type {number} */ offset) => [...get(at), 0xfd, 10, 3, offset];
  const store = (/** @type {number} */ offset, /** @type {number} */ z) => [...get(m), ...get(z), 0xfd, 11, 3, offset];
  const add = (/** @type {number} */ sum, /** @type {number} */ factor) =>
    [...get(sum), ...get(factor), ...get(x), 0xfd, 0xf2, 1, 0xfd, 0xf0, 1, ...set(sum)];
  const zero = (/** @type {number} */ z) => [0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0xfd, 20, ...set(z)];
  const repeat = (/** @type {number} */ z, /** @type {number} */ limit, /** @type {number[]} */ ...body) =>
    [3, 0x40, ...body, ...get(z), ...get(limit), 0x49, 0x0d, 0, 0x0b];
  const sized = (/** @type {number[]} */ bytes) => [(bytes.length & 127) | 128, bytes.length >> 7, ...bytes];
  const channels = repeat(v, last, ...load(u, 0), ...set(p), ...load(u, 16), ...set(q),
    ...twice(v, 0), ...set(x), ...add(a, p), ...add(a2, q), ...twice(v, 8), ...set(x), ...add(b, p), ...add(b2, q),
    ...move(u, 32), ...move(v, 16));
  const entries = repeat(m, end, ...zero(a), ...zero(a2), ...zero(b), ...zero(b2),
    ...get(v), ...get(into), ...number(4), 0x74, 0x6a, ...set(last),
    ...channels, ...store(0, a), ...store(16, a2), ...store(32, b), ...store(48, b2), ...move(m, 64));
  const code = [2, 2, 0x7f, 7, 0x7b, ...get(m), ...number(1024), 0x6a, ...set(end), ...entries, 0x0b];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // the header
    1, ...sized([1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 0]), // a function of four integers
    2, ...sized([1, 1, 0x6d, 1, 0x6d, 2, 0, 1]), // the memory m.m
    3, ...sized([1, 0]),
    7, ...sized([1, 1, 0x66, 0, 0]), // the function is f
    10, ...sized([1, ...sized(code)]),
  ]);
})();

/** @typedef {(u: number, v: number, m: number, into: number) => void} Pairs */

const wide = opened();
let plain = new ArrayBuffer(0); // where there is no WebAssembly

/** The module and its memory, unless the browser is too old, or the page forbids it. */
function opened() {
  try {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(MODULE), { m: { m: memory } });
    return { memory, pairs: /** @type {Pairs} */ (exports.f) };
  } catch {
    return undefined;
  }
}

/** @param {number} bytes */
function buffer(bytes) {
  if (!wide) return plain.byteLength < bytes ? (plain = new ArrayBuffer(bytes)) : plain;
  const more = bytes - wide.memory.buffer.byteLength;
  if (more > 0) wide.memory.grow(Math.ceil(more / PAGE));
  return wide.memory.buffer;
}

/**
 * Arrays of these lengths side by side, where both find them, until the next call.
 *
 * @param {number[]} lengths
 */
export function room(...lengths) {
  const whole = buffer(8 * lengths.reduce((sum, n) => sum + n));
  let at = 0;
  return lengths.map((n) => new Float64Array(whole, (at += 8 * n) - 8 * n, n));
}

/**
 * M for 4 output channels, whose filters begin at u, and 2 squares, which begin at v.
 *
 * @param {Float64Array} M in the order 4x4, square, 4
 * @param {Float64Array} U
 * @param {number} u
 * @param {Float64Array} V
 * @param {number} v
 * @param {number} into
 */
export function multiply(M, U, u, V, v, into) {
  if (wide) wide.pairs(U.byteOffset + 8 * u, V.byteOffset + 8 * v, M.byteOffset, into);
  else oneByOne(M, U, u, V, v, into);
}

/** The same, without WebAssembly. @type {typeof multiply} */
export function oneByOne(M, U, u, V, v, into) {
  // "| 0" tells the compiler that an index is a 32-bit integer: a sixth faster.
  for (let t = 0; t < M.length; t += 8) {
    let a0 = 0, a1 = 0, a2 = 0, a3 = 0; // the first square
    let b0 = 0, b1 = 0, b2 = 0, b3 = 0; // the second
    for (const end = v + 2 * into; v < end; v = (v + 2) | 0, u = (u + 4) | 0) {
      const a = V[v], b = V[(v + 1) | 0];
      const u0 = U[u], u1 = U[(u + 1) | 0], u2 = U[(u + 2) | 0], u3 = U[(u + 3) | 0];
      a0 += u0 * a; a1 += u1 * a; a2 += u2 * a; a3 += u3 * a;
      b0 += u0 * b; b1 += u1 * b; b2 += u2 * b; b3 += u3 * b;
    }
    M[t] = a0; M[t + 1] = a1; M[t + 2] = a2; M[t + 3] = a3;
    M[t + 4] = b0; M[t + 5] = b1; M[t + 6] = b2; M[t + 7] = b3;
  }
}
