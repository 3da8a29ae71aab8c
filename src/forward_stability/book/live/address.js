// The state of a figure in the address of its page: #NAME?tau=2&x=0.5,1

/** @typedef {Record<string, number | string | number[] | number[][] | number[][][]>} State */

/**
 * The entries of a state that an address gives to a figure; null if it speaks of another place.
 * What has another type than the state, or is not finite, is left out.
 *
 * @template {State} S
 * @param {string} hash
 * @param {string} name of the figure
 * @param {S} state
 * @returns {Partial<S> | null}
 */
export function fromAddress(hash, name, state) {
  const [place, query] = hash.replace(/^#/, "").split("?");
  if (place !== name || query === undefined) return null;
  /** @type {State} */
  const found = {};
  for (const [key, text] of new URLSearchParams(query)) {
    const now = state[key];
    if (typeof now === "string") found[key] = text;
    else if (typeof now === "number") found[key] = Number(text);
    else if (Array.isArray(now) && text.split(",").length === now.length)
      found[key] = text.split(",").map(Number);
  }
  const finite = Object.entries(found).filter(([, value]) => typeof value === "string" || [value].flat().every(Number.isFinite));
  return /** @type {Partial<S>} */ (Object.fromEntries(finite));
}

/**
 * What follows the # for a state, of which only what differs from the start is written.
 *
 * @param {string} name
 * @param {State} state
 * @param {State} start
 */
export function toAddress(name, state, start) {
  const changed = Object.entries(state).filter(([key, value]) => String(value) !== String(start[key]));
  const query = changed.map(([key, value]) => `${key}=${encodeURIComponent(String(value)).replaceAll("%2C", ",")}`);
  return `#${name}?${query.join("&")}`;
}
