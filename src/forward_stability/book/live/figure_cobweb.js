// Chapter 9: the layer x ↦ σ(x − g σ(1 − x)) of one feature, from two starts.

import { readable } from "./plot.js";
import { stage } from "./stage.js";

/** @import { Mark, Point, View } from "./plot.js" */
/** @import { Words } from "./stage.js" */

const [MOST, LAYERS] = [1.6, 20];

const start = { x: 0.98, y: 0.94, g: 0.5, layers: 4 };

/** @param {number} x @param {number} g */
const layer = (x, g) => Math.max(x - g * Math.max(1 - x, 0), 0);

/** @param {number} x @param {number} g @param {number} count */
function features(x, g, count) {
  const found = [x];
  for (let n = 0; n < count; n++) found.push((x = layer(x, g)));
  return found;
}

/** @param {number[]} places @param {number} from the height of the start @returns {Point[]} */
const stairs = (places, from) => [[places[0], from], ...places.slice(1).flatMap((z, n) => /** @type {Point[]} */ ([[places[n], z], [z, z]]))];

/** @param {typeof start} state @returns {View<typeof start>[]} */
function views({ x, y, g, layers }) {
  const graph = [0, g / (1 + g), 1, MOST].map((z) => /** @type {Point} */ ([z, layer(z, g)]));
  const [p, q] = [x, y].map((z) => features(z, g, LAYERS));
  const ratios = p.map((z, n) => Math.abs(z - q[n]) / (Math.abs(x - y) || 1));
  const [passed, ahead] = [ratios.slice(0, layers + 1), ratios.slice(layers)];
  const curve = (/** @type {number[]} */ values, from = 0) => values.map((z, n) => /** @type {Point} */ ([n + from, Math.max(z, 1e-9)]));
  const bound = ratios.map((_, n) => (1 + g) ** n);
  /** @type {(name: "x" | "y") => (state: any, to: Point) => Partial<typeof start>} */
  const move = (name) => (_, [to]) => ({ [name]: Math.min(Math.max(to, 0), MOST) });
  return [
    {
      title: "a layer, and the way through the layers",
      x: { from: 0, to: MOST, label: "feature before" },
      y: { from: -0.12, to: 1.75, label: "feature after" },
      ratio: 1,
      marks: [
        { kind: "line", points: [[0, 0], [MOST, MOST]], look: "bound dashed thin" },
        { kind: "line", points: graph, look: "bound thick faint" },
        { kind: "line", points: stairs(features(x, g, layers), 0), look: "D" },
        { kind: "line", points: stairs(features(y, g, layers), MOST), look: "S" },
      ],
      handles: [
        { label: "the first start", at: [x, 0], look: "D", along: "x", move: move("x") },
        { label: "the second start", at: [y, MOST], look: "S", along: "x", move: move("y") },
      ],
    },
    {
      title: "distance, relative to the start",
      x: { from: 0, to: LAYERS, label: "layers passed" },
      y: { from: 0.1, to: Math.max(100, 10 ** Math.ceil(Math.log10(Math.max(...ratios)))), log: true },
      ratio: 1,
      marks: /** @type {Mark[]} */ ([
        { kind: "line", points: curve(bound), look: "bound dashed" },
        { kind: "line", points: curve(ahead, layers), look: "accent thin faint" },
        { kind: "line", points: curve(passed), look: "accent" },
        { kind: "dots", points: curve(passed), look: "accent", radius: 3 },
      ]),
    },
  ];
}

/** @param {typeof start} state @returns {Words[]} */
function words({ x, y, g, layers }) {
  const [p, q] = [x, y].map((z) => features(z, g, layers)[layers]);
  const ratio = Math.abs(p - q) / (Math.abs(x - y) || 1);
  return [
    `After ${layers} layers the features are `,
    ["D", readable(p)],
    " and ",
    ["S", readable(q)],
    ": their ",
    ["accent", "distance"],
    ` is ${readable(ratio)} times that of the start; `,
    ["bound", `the bound is ${readable((1 + g) ** layers)}`],
    `. The slope of a layer is ${readable(1 + g)} between the wall and 1, and 1 above.`,
  ];
}

/** @type {import("./dials.js").Dial<typeof start>[]} */
const dials = [
  { kind: "slider", name: "g", label: "g, the product ‖A1‖‖A2‖ of a layer", from: 0, to: 2, marks: [[0.5, "0.5"], [1, "1"]] },
  { kind: "play", name: "layers", to: LAYERS, step: 1, seconds: 6 },
];

export default stage({ start, dials, views, words });
