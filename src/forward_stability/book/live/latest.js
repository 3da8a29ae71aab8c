// What a figure computes of its state, once for its picture and its sentence.

/**
 * The same function, which remembers its latest result.
 *
 * @template S, T
 * @param {(state: S) => T} compute
 * @returns {(state: S) => T}
 */
export function latest(compute) {
  /** @type {{ state: S, result: T } | undefined} */
  let known;
  return (state) => {
    if (known?.state !== state) known = { state, result: compute(state) };
    return known.result;
  };
}
