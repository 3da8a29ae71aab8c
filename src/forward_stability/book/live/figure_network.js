// Chapter 8: the boxes of Fig. 1 to open, and how many parameters each has.

import { stage } from "./stage.js";

/** @import { Button, Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const MOST = 900_000; // parameters on the scale of the bars

/** What depends on the kind of residual layer. The counts are of a layer of d channels. */
const VARIANTS = /** @type {const} */ ({
  ResNet: {
    look: "original",
    filters: 2,
    residual: (/** @type {number} */ d) => 18 * d * d + 4 * d,
    formula: "x ↦ σ(x + A₂σ(A₁x + b₁) + b₂)",
    factor: "1 + ‖A₁‖‖A₂‖",
  },
  "ResNet-D": {
    look: "D",
    filters: 2,
    residual: (/** @type {number} */ d) => 18 * d * d + 2 * d,
    formula: "x ↦ σ(x − A₂σ(A₁x + b₁) + b₂) with A₂ ≥ 0",
    factor: "1 + ‖A₁‖‖A₂‖",
  },
  "ResNet-S": {
    look: "S",
    filters: 1,
    residual: (/** @type {number} */ d) => 9 * d * d + 2 * d,
    formula: "x ↦ σ(x − Aᵀσ(Ax + b₁) + b₂)",
    factor: "1, if ‖A‖ ≤ √2",
  },
});

/** @typedef {keyof typeof VARIANTS} Variant */

const start = { variant: "ResNet-S", m: 3, box: 1 };

/**
 * The eight boxes: the layers and their parameters, the sizes before and after.
 *
 * @typedef {{ name: string, layers: number, parameters: number, from: string, to: string,
 *   formula: string, factor: string }} Box
 */

/** @param {typeof start} state @returns {Box[]} */
function boxes({ variant, m }) {
  const kind = VARIANTS[/** @type {Variant} */ (variant)] ?? VARIANTS["ResNet-S"];
  const sizes = ["32×32×16", "16×16×32", "8×8×64"];
  const residual = (/** @type {number} */ i, /** @type {number} */ layers) => ({
    name: `${layers} residual layer${layers === 1 ? "" : "s"}`,
    layers,
    parameters: layers * kind.residual(16 * 2 ** i),
    from: sizes[i],
    to: sizes[i],
    formula: kind.formula,
    factor: kind.factor,
  });
  const pooling = (/** @type {number} */ i) => {
    const d = 16 * 2 ** i;
    const place = { layers: 1, from: sizes[i], to: sizes[i + 1] };
    return variant === "ResNet"
      ? { ...place, name: "residual, stride 2", parameters: 54 * d * d + 8 * d, formula: "x ↦ σ(ESx + A₂σ(A₁x + b₁) + b₂), S keeps every second pixel", factor: "1 + ‖A₁‖‖A₂‖" }
      : { ...place, name: "2D pooling", parameters: 18 * d * d + 4 * d, formula: "x ↦ σ(EP₂x − σ(Ax + b))", factor: "1/2 + ‖A‖" };
  };
  return [
    { name: "convolution", layers: 1, parameters: 9 * 3 * 16 + 32, from: "32×32×3", to: sizes[0], formula: "x ↦ Ax + b", factor: "‖A‖" },
    residual(0, m),
    pooling(0),
    residual(1, m - 1),
    pooling(1),
    residual(2, m - 1),
    { name: "global pooling", layers: 1, parameters: 0, from: sizes[2], to: "64", formula: "x ↦ P σ(x)", factor: "‖P‖ = 1/8" },
    { name: "fully connected", layers: 1, parameters: 650, from: "64", to: "10", formula: "x ↦ Wx + b", factor: "‖W‖" },
  ];
}

/** The number of filters and matrices. @param {typeof start} state */
function depth({ variant, m }) {
  const { filters } = VARIANTS[/** @type {Variant} */ (variant)] ?? VARIANTS["ResNet-S"];
  return filters * (3 * m - 2) + (variant === "ResNet" ? 2 * 2 : 2) + 2;
}

/** @param {number} n */
const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

/** @param {typeof start} state */
const look = ({ variant }) => (VARIANTS[/** @type {Variant} */ (variant)] ?? VARIANTS["ResNet-S"]).look;

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views(state) {
  const all = boxes(state);
  const middle = (/** @type {number} */ i) => 7.5 - i;
  const pairs = all.slice(1).map((_, i) => /** @type {[Point, Point]} */ ([[1, middle(i) - 0.36], [1, middle(i) - 0.64]]));
  const bars = all.map(({ parameters }, i) => {
    const [y, right] = [middle(i), 2.15 + (1.45 * parameters) / MOST];
    const points = /** @type {Point[]} */ ([[2.15, y - 0.2], [right, y - 0.2], [right, y + 0.2], [2.15, y + 0.2]]);
    return /** @type {Mark} */ ({ kind: "area", points, look: look(state) });
  });
  const counts = all.map(({ parameters }, i) => /** @type {Mark} */ ({ kind: "text", at: [2.2 + (1.45 * parameters) / MOST, middle(i) - 0.12], text: grouped(parameters) }));
  return [
    {
      title: "the layers and their parameters",
      x: { from: 0, to: 4.2, bare: true },
      y: { from: 0, to: 8, bare: true },
      ratio: 0.9,
      marks: [{ kind: "arrows", pairs, look: "bound thin" }, ...bars, ...counts],
      buttons: all.map(({ name }, i) => /** @type {Button<typeof start>} */ ({
        text: name,
        at: [1, middle(i)],
        size: [1.96, 0.72],
        look: i % 2 && i < 6 ? look(state) : i === 6 ? "bound" : "accent",
        chosen: i === state.box,
        press: () => ({ box: i }),
      })),
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words(state) {
  const all = boxes(state);
  const i = Math.min(Math.max(Math.round(state.box), 0), 7);
  const { name, layers, parameters, from, to, formula, factor } = all[i];
  const first = all.slice(0, i).reduce((sum, box) => sum + box.layers, 0);
  const place = layers === 0 ? "none" : layers === 1 ? `Layer ${first}` : `Layers ${first} to ${first + layers - 1}`;
  const whole = all.reduce((sum, box) => sum + box.parameters, 0);
  return [
    [look(state), `${name} (${place})`],
    `: ${formula}, from ${from} to ${to}; ${grouped(parameters)} parameters, ${((100 * parameters) / whole).toFixed(1)} % of all. `,
    "Two inputs part by at most the product of the factors of all layers; ",
    `${layers === 1 ? "its factor is" : "each has the factor"} ${factor}. The whole ${state.variant}, m = ${state.m}, has the depth ${depth(state)} and ${grouped(whole)} parameters.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "choice", name: "variant", label: "residual layer", options: Object.keys(VARIANTS) },
  { kind: "slider", name: "m", label: "m", from: 1, to: 12, whole: true, marks: [[3, "3"], [6, "6"], [9, "9"], [12, "12"]] },
];

export default stage({ start, dials, views, words });
