// The positive orthant of the plane, as it is drawn.

/** @import { Mark } from "./plot.js" */

const FAR = 99;

/** @type {Mark[]} the two walls */
export const WALLS = [
  { kind: "area", points: [[-FAR, -FAR], [0, -FAR], [0, FAR], [-FAR, FAR]], look: "wall" },
  { kind: "area", points: [[0, -FAR], [FAR, -FAR], [FAR, 0], [0, 0]], look: "wall" },
];
