// A digit that the reader draws on 8x8 squares, as an image like those of the data set.

export const SIDE = 8;
const LARGE = 24, MARGIN = 4, PIXELS = LARGE + 2 * MARGIN;

/**
 * 8x8 values in [0, 1] as 32x32: enlarged to 24x24, linearly between the centres, with a margin of
 * 4; see _digits in forward_stability/experiments/data.py.
 *
 * @param {Float64Array} squares
 */
export function enlarged(squares) {
  const image = new Float64Array(PIXELS * PIXELS);
  const at = (/** @type {number} */ i) => Math.min(SIDE - 1, Math.max(0, (i + 0.5) / 3 - 0.5));
  for (let i = 0; i < LARGE; i++)
    for (let j = 0; j < LARGE; j++) {
      const y = at(i), x = at(j), k = Math.min(SIDE - 2, Math.floor(y)), l = Math.min(SIDE - 2, Math.floor(x));
      const p = y - k, q = x - l, of = SIDE * k + l;
      const top = (1 - q) * squares[of] + q * squares[of + 1];
      const bottom = (1 - q) * squares[of + SIDE] + q * squares[of + SIDE + 1];
      image[(i + MARGIN) * PIXELS + j + MARGIN] = (1 - p) * top + p * bottom;
    }
  return image;
}

/**
 * The squares after a touch of a pen at a point of the image, in pixels.
 *
 * @param {Float64Array} squares
 * @param {number} row
 * @param {number} column
 * @param {number} ink 1 to draw, -1 to wipe
 */
export function touched(squares, row, column, ink) {
  const y = (row - MARGIN) / 3 - 0.5, x = (column - MARGIN) / 3 - 0.5;
  return squares.map((z, at) => {
    const distance = Math.hypot(Math.floor(at / SIDE) - y, (at % SIDE) - x);
    const drop = Math.max(0, Math.min(1, 1.35 - distance));
    return ink > 0 ? Math.max(z, drop) : Math.max(0, z - drop);
  });
}
