// What the scores of a network say of an image.

import { percent } from "./numbers.js";

/**
 * The class with the largest score.
 *
 * @param {Float64Array} scores
 */
export function answer(scores) {
  return scores.indexOf(Math.max(...scores));
}

/**
 * The probabilities of the classes.
 *
 * @param {Float64Array} scores
 */
export function softmax(scores) {
  const largest = Math.max(...scores);
  const parts = scores.map((score) => Math.exp(score - largest));
  const sum = parts.reduce((a, b) => a + b);
  return parts.map((part) => part / sum);
}

/**
 * By how much the largest score exceeds the others.
 *
 * @param {Float64Array} scores
 */
export function margin(scores) {
  const best = answer(scores);
  return scores[best] - Math.max(...scores.filter((_z, k) => k !== best));
}

/**
 * The answer in words, with its probability, and whether it is right.
 *
 * @param {Float64Array} scores
 * @param {string[]} classes
 * @param {number | null} label the index of the true class, or null if it is not known
 */
export function verdict(scores, classes, label) {
  const best = answer(scores);
  const right = label === null ? "" : best === label ? ", right" : ", wrong";
  return `${classes[best]}, ${percent(softmax(scores)[best])}${right}`;
}
