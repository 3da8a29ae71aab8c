// Linear algebra of small matrices, rows first: what the figures compute with.

/** @typedef {number[]} Vector */
/** @typedef {number[][]} Matrix */

/** @type {(x: Vector, y: Vector) => number} */
export const dot = (x, y) => {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
};

/** @type {(x: Vector) => number} */
export const norm = (x) => Math.sqrt(dot(x, x));

/** @type {(x: Vector, y: Vector) => Vector} */
export const minus = (x, y) => {
  const z = new Array(x.length);
  for (let i = 0; i < x.length; i++) z[i] = x[i] - y[i];
  return z;
};

/**
 * x + t y.
 *
 * @type {(x: Vector, t: number, y: Vector) => Vector}
 */
export const plus = (x, t, y) => {
  const z = new Array(x.length);
  for (let i = 0; i < x.length; i++) z[i] = x[i] + t * y[i];
  return z;
};

/** @type {(t: number, x: Vector) => Vector} */
export const times = (t, x) => {
  const z = new Array(x.length);
  for (let i = 0; i < x.length; i++) z[i] = t * x[i];
  return z;
};

/** @type {(A: Matrix, x: Vector) => Vector} */
export const apply = (A, x) => A.map((row) => dot(row, x));

/** @type {(t: number, A: Matrix) => Matrix} */
export const scale = (t, A) => A.map((row) => times(t, row));

/** @type {(A: Matrix) => Matrix} */
export const transpose = (A) => A[0].map((_, j) => A.map((row) => row[j]));

/** @type {(A: Matrix, B: Matrix) => Matrix} */
export const multiply = (A, B) => {
  const product = new Array(A.length);
  for (let i = 0; i < A.length; i++) {
    const sums = new Array(B[0].length).fill(0);
    for (let k = 0; k < B.length; k++) {
      const factor = A[i][k], row = B[k];
      for (let j = 0; j < sums.length; j++) sums[j] += factor * row[j];
    }
    product[i] = sums;
  }
  return product;
};

/**
 * The singular values, the largest first: columns are turned against each other until all are
 * orthogonal (one-sided Jacobi).
 *
 * @param {Matrix} A
 */
export function singularValues(A) {
  const columns = transpose(A);
  for (let sweep = 0, turned = true; turned && sweep < 60; sweep++) {
    turned = false;
    for (let i = 0; i < columns.length; i++)
      for (let j = i + 1; j < columns.length; j++) turned = rotate(columns, i, j) || turned;
  }
  return columns
    .map(norm)
    .sort((a, b) => b - a)
    .slice(0, A.length);
}

/**
 * Makes two columns orthogonal; says whether they were not.
 *
 * @param {Vector[]} columns
 * @param {number} i
 * @param {number} j
 */
function rotate(columns, i, j) {
  const [x, y] = [columns[i], columns[j]];
  const [a, b, c] = [dot(x, x), dot(y, y), dot(x, y)];
  if (Math.abs(c) <= 1e-16 * Math.sqrt(a) * Math.sqrt(b)) return false;
  const ratio = (b - a) / (2 * c);
  const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.hypot(1, ratio));
  const cosine = 1 / Math.hypot(1, tangent);
  columns[i] = times(cosine, plus(x, -tangent, y));
  columns[j] = times(cosine, plus(y, tangent, x));
  return true;
}

/**
 * ‖A‖₂.
 *
 * @type {(A: Matrix) => number}
 */
export const spectralNorm = (A) => singularValues(A)[0];
