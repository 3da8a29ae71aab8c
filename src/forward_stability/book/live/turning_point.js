const STEPS = 50; // of the search
const HALVINGS = 6; // of the last of these steps

/**
 * Looks for the first level at which the answer is not that at level 0.
 *
 * @template T
 * @param {(level: number) => Promise<T>} answerAt
 * @param {number} most the largest level
 * @returns {Promise<{ level: number, answer: T } | null>} null if the answer stays the same
 */
export async function turningPoint(answerAt, most) {
  const first = await answerAt(0);
  let low = 0, high = 0, other = first;
  for (let i = 1; i <= STEPS && other === first; i++) {
    [low, high] = [high, (most * i) / STEPS];
    other = await answerAt(high);
  }
  if (other === first) return null;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    const found = await answerAt(middle);
    if (found === first) low = middle;
    else [high, other] = [middle, found];
  }
  return { level: high, answer: other };
}
