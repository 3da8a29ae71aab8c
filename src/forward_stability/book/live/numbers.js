// Numbers as the reader sees them.

/** @param {number} p */
export const percent = (p) => `${(100 * p).toFixed(1)} %`;

/**
 * A whole number as an exponent.
 *
 * @param {number} n
 */
export function raised(n) {
  return [...String(n)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
}

/**
 * A number with three digits, large ones as a power of ten.
 *
 * @param {number} z
 */
export function short(z) {
  if (z === 0) return "0";
  if (z >= 0.001 && z < 9999.5) return Number(z.toPrecision(3)).toString();
  const [digits, power] = z.toExponential(2).split("e");
  return `${digits}·10${raised(Number(power))}`;
}
