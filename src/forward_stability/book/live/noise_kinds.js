// The kinds of noise in the noise explorer.

/** @typedef {typeof KINDS[number]} Kind */

export const KINDS = [
  { name: "unstructured: grain (σ)", symbol: "σ", most: 0.2, step: 0.002, structured: false, one: "seed", over: "seeds" },
  { name: "structured: ghost (ε)", symbol: "ε", most: 1, step: 0.01, structured: true, one: "picture x₀", over: "pictures x₀" },
];
