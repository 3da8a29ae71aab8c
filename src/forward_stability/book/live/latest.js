// What a figure computes of its state, once for its picture and its sentence.

/**
 * The same function, which remembers its latest result, as long as certain entries of its state
 * stay the same.
 *
 * @template {Record<string, unknown>} S
 * @template T
 * @param {(state: S) => T} compute
 * @param {(keyof S)[]} of the entries that it uses
 * @returns {(state: S) => T}
 */
export function latest(compute, of) {
  /** @type {{ state: S, result: T } | undefined} */
  let known;
  return (state) => {
    if (!known || of.some((name) => known?.state[name] !== state[name])) known = { state, result: compute(state) };
    return known.result;
  };
}
