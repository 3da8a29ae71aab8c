// A view of a live figure, drawn: axes, marks and handles.

import { makeScale, signed } from "./axes.js";
import { shape } from "./svg.js";

/** @import { Axis, Scale } from "./axes.js" */
/** @import { Shape } from "./svg.js" */

/** @typedef {[number, number]} Point */

/**
 * What a view shows, in the units of its axes. `look` is a class of the style sheet: "S", "D",
 * "original", "accent", "bound", "wall", with "thin", "thick" or "dashed". Cells are squares of side
 * 1, row by row from the top; NaN leaves one out.
 *
 * @typedef {{ kind: "line" | "area" | "dots", points: Point[], look: string, radius?: number }
 *   | { kind: "lines", pieces: Point[][], look: string }
 *   | { kind: "arrows", pairs: [from: Point, to: Point][], look: string }
 *   | { kind: "cells", values: number[][], most: number }
 *   | { kind: "circle", at: Point, radius: number, look: string }
 *   | { kind: "text", at: Point, text: string, look?: string, anchor?: "start" | "middle" | "end" }} Mark
 */

/**
 * What the reader drags: a point with a name; `move` gives the entries of the state that change.
 * Where it can only move along an axis, `value` is read out if that is not its place;
 * `step` is that of the arrow keys, in units of the axes, if it is not a few pixels.
 *
 * @template S
 * @typedef {{ label: string, at: Point, look: string, along?: "x" | "y", value?: number, step?: number,
 *   move(state: S, to: Point): Partial<S> }} Handle
 */

/**
 * What the reader presses: a box with a text, `size` wide and high; `press` gives the entries of the
 * state that change.
 *
 * @template S
 * @typedef {{ text: string, at: Point, size: Point, look: string, chosen: boolean,
 *   press(state: S): Partial<S> }} Button
 */

/**
 * @template S
 * @typedef {{ title?: string, x: Axis, y: Axis, ratio: number, marks: Mark[], handles?: Handle<S>[],
 *   buttons?: Button<S>[] }} View
 */

/** @typedef {{ left: number, top: number, width: number, height: number }} Box */

/** @typedef {{ x: Scale, y: Scale }} Scales */

/** @typedef {{ title?: string, x: Axis, y: Axis }} Frame of a view */

/** @typedef {{ id: string, on: Scales, clip: Shape, axes: Shape }} Ground what the marks of a view stand on */

/** @type {Map<string, { frame: Frame, place: Box, ground: Ground }>} the latest ground of each view */
const grounds = new Map();

/**
 * The ground of a view in its box: the same object as long as nothing of it changes.
 *
 * @param {Frame} frame
 * @param {Box} place
 * @param {string} id of the view, unique on the page
 */
export function ground(frame, place, id) {
  const { title, x, y } = frame;
  const known = grounds.get(id);
  if (known && known.frame.title === title && alike(known.frame.x, x) && alike(known.frame.y, y) && alike(known.place, place))
    return known.ground;
  const made = makeGround(frame, place, id);
  grounds.set(id, { frame: { title, x, y }, place, ground: made });
  return made;
}

/**
 * Whether two objects have the same entries.
 *
 * @template {Axis | Box} T
 * @param {T} one
 * @param {T} other
 */
function alike(one, other) {
  for (const name in one) if (one[name] !== other[name]) return false;
  for (const name in other) if (!(name in one)) return false;
  return true;
}

/**
 * @param {Frame} view
 * @param {Box} place
 * @param {string} id
 * @returns {Ground}
 */
function makeGround(view, place, id) {
  const side = view.y.bare ? (view.x.bare ? 10 : 16) : 52; // 16 is half of a number below
  const [left, right] = [place.left + side, place.left + place.width - 16];
  const [top, bottom] = [place.top + (view.title ? 26 : 10), place.top + place.height - (view.x.bare ? 10 : 42)];
  const on = { x: makeScale(view.x, left, right), y: makeScale(view.y, bottom, top) };
  const frame = { x: left, y: top, width: right - left, height: bottom - top };
  return {
    id,
    on,
    clip: shape("clipPath", { id }, shape("rect", frame)),
    axes: shape("g", { class: "fs-axes" }, ...axes(view, on, { left, right, bottom, top })),
  };
}

/**
 * @param {{ marks: Mark[] }} view
 * @param {Ground} under
 */
export function plot({ marks }, { id, on, clip, axes: behind }) {
  const drawings = marks.map((mark) => drawOnce(mark, on));
  return shape("g", {}, clip, behind, shape("g", { "clip-path": `url(#${id})` }, ...drawings));
}

/** @type {WeakMap<Mark, { on: Scales, shape: Shape }>} */
const drawn = new WeakMap();

/**
 * The shape of a mark, which is kept as long as the mark stays the same object on the same scales.
 *
 * @param {Mark} mark
 * @param {Scales} on
 */
function drawOnce(mark, on) {
  let known = drawn.get(mark);
  if (known?.on !== on) drawn.set(mark, (known = { on, shape: draw(mark, on) }));
  return known.shape;
}

/**
 * @param {Frame} view
 * @param {Scales} on
 * @param {{ left: number, right: number, bottom: number, top: number }} frame
 * @returns {Shape[]}
 */
function axes(view, on, { left, right, bottom, top }) {
  const middle = [(left + right) / 2, (top + bottom) / 2];
  const made = [];
  if (!view.x.bare)
    for (const { value, text } of on.x.ticks) {
      made.push(shape("line", { x1: on.x(value), x2: on.x(value), y1: top, y2: bottom, class: "grid" }));
      made.push(label([on.x(value), bottom + 16], text, "middle"));
    }
  if (!view.y.bare)
    for (const { value, text } of on.y.ticks) {
      made.push(shape("line", { x1: left, x2: right, y1: on.y(value), y2: on.y(value), class: "grid" }));
      made.push(label([left - 6, on.y(value) + 4], text, "end"));
    }
  if (view.x.label) made.push(label([middle[0], bottom + 34], view.x.label, "middle"));
  if (view.y.label) {
    const at = `translate(${left - 40} ${middle[1]}) rotate(-90)`;
    made.push(shape("text", { transform: at, "text-anchor": "middle" }, view.y.label));
  }
  if (view.title) made.push(label([left, top - 10], view.title, "start"));
  return made;
}

/**
 * @param {Point | number[]} at in pixels
 * @param {string} text
 * @param {string} anchor
 * @param {string} [look]
 */
function label([x, y], text, anchor, look) {
  const attributes = { x: tidy(x), y: tidy(y), "text-anchor": anchor };
  return shape("text", look === undefined ? attributes : { ...attributes, class: look }, text);
}

/**
 * @param {Mark} mark
 * @param {Scales} on
 * @returns {Shape}
 */
function draw(mark, on) {
  const place = (/** @type {Point} */ [x, y]) => [tidy(on.x(x)), tidy(on.y(y))];
  switch (mark.kind) {
    case "line":
      return shape("path", { d: outline(mark.points, on), class: `line ${mark.look}` });
    case "lines":
      return shape("path", { d: mark.pieces.map((points) => outline(points, on)).join(""), class: `line ${mark.look}` });
    case "area":
      return shape("path", { d: `${outline(mark.points, on)}Z`, class: `area ${mark.look}` });
    case "dots": {
      let d = "";
      for (let i = 0; i < mark.points.length; i++)
        d += `M${tidy(on.x(mark.points[i][0]))} ${tidy(on.y(mark.points[i][1]))}h0`; // with round ends
      return shape("path", { d, class: `dots ${mark.look}`, "stroke-width": 2 * (mark.radius ?? 4) });
    }
    case "circle": {
      const [cx, cy] = place(mark.at);
      const [rx, ry] = [on.x(mark.radius) - on.x(0), on.y(0) - on.y(mark.radius)].map(tidy);
      return shape("ellipse", { cx, cy, rx, ry, class: `line ${mark.look}` });
    }
    case "cells":
      return shape("g", {}, ...cells(mark.values, mark.most, on));
    case "text":
      return label(place(mark.at), mark.text, mark.anchor ?? "start", mark.look);
    default: {
      const d = mark.pairs.map(([from, to]) => arrow(place(from), place(to))).join("");
      return shape("path", { d, class: `line ${mark.look}` });
    }
  }
}

const STRENGTHS = 32;

/**
 * Positive numbers in one colour, negative ones in another, the stronger the larger; all cells of
 * one strength are one path.
 *
 * @param {number[][]} values
 * @param {number} most
 * @param {Scales} on
 */
function cells(values, most, on) {
  const [width, height] = [on.x(1) - on.x(0), on.y(0) - on.y(1)].map(tidy);
  /** @type {Map<number, string>} */
  const found = new Map();
  values.forEach((row, i) =>
    row.forEach((z, j) => {
      const share = Number.isNaN(z) ? 0 : Math.min(Math.max(z / most, -1), 1);
      const strength = Math.round(STRENGTHS * share) || 0;
      const cell = `M${tidy(on.x(j))} ${tidy(on.y(values.length - i))}h${width}v${height}h${-width}Z`;
      found.set(strength, (found.get(strength) ?? "") + cell);
    }),
  );
  return [...found].map(([strength, d]) => {
    const attributes = { d, class: `cell ${strength < 0 ? "D" : "original"}` };
    return shape("path", { ...attributes, "fill-opacity": tidy(Math.abs(strength) / STRENGTHS) });
  });
}

/** @param {Point[]} points @param {Scales} on */
function outline(points, on) {
  let d = "";
  for (let i = 0; i < points.length; i++)
    d += `${i ? "L" : "M"}${tidy(on.x(points[i][0]))} ${tidy(on.y(points[i][1]))}`;
  return d;
}

/**
 * An arrow with a head that shrinks with it.
 *
 * @param {number[]} from in pixels
 * @param {number[]} to
 */
function arrow([x, y], [u, v]) {
  const length = Math.hypot(u - x, v - y);
  const head = Math.min(9, length / 2);
  const [dx, dy] = length ? [((u - x) / length) * head, ((v - y) / length) * head] : [0, 0];
  const wing = (/** @type {number} */ side) =>
    `${tidy(u - dx - side * dy * 0.5)} ${tidy(v - dy + side * dx * 0.5)}`;
  return `M${x} ${y}L${u} ${v}M${wing(1)}L${u} ${v}L${wing(-1)}`;
}

/**
 * A handle as a shape with a role: a point that the keyboard reaches, with room for a finger.
 *
 * @template S
 * @param {Handle<S>} handle
 * @param {View<S>} view
 * @param {Scales} on
 * @param {string} key of the view and the handle
 */
export function grip(handle, view, on, key) {
  const axis = handle.along === "y" ? view.y : view.x;
  const value = handle.value ?? handle.at[handle.along === "y" ? 1 : 0];
  const said = handle.along ? readable(value) : handle.at.map(readable).join(", ");
  const [cx, cy] = [tidy(on.x(handle.at[0])), tidy(on.y(handle.at[1]))];
  const attributes = {
    class: `fs-handle ${handle.look}`,
    "data-handle": key,
    role: "slider",
    tabindex: 0,
    "aria-label": handle.label,
    "aria-valuemin": axis.from,
    "aria-valuemax": axis.to,
    "aria-valuenow": tidy(value),
    "aria-valuetext": said,
  };
  return shape(
    "g",
    attributes,
    shape("circle", { cx, cy, r: 22, class: "room" }),
    shape("circle", { cx, cy, r: 8, class: "grip" }),
  );
}

/**
 * A button as a shape with a role, which the keyboard reaches.
 *
 * @template S
 * @param {Button<S>} button
 * @param {Scales} on
 * @param {string} key of the view and the button
 */
export function box({ text, at, size, look, chosen }, on, key) {
  const [x, y] = [tidy(on.x(at[0] - size[0] / 2)), tidy(on.y(at[1] + size[1] / 2))];
  const [width, height] = [tidy(on.x(size[0]) - on.x(0)), tidy(on.y(0) - on.y(size[1]))];
  const attributes = {
    class: `fs-box ${look}`,
    "data-button": key,
    role: "button",
    tabindex: 0,
    "aria-label": text,
    "aria-pressed": String(chosen),
  };
  return shape(
    "g",
    attributes,
    shape("rect", { x, y, width, height, rx: 4 }),
    label([on.x(at[0]), on.y(at[1]) + 4.5], text, "middle"),
  );
}

/** @param {number} pixel */
function tidy(pixel) {
  return Math.round(pixel * 100) / 100;
}

/**
 * A number of the state as it is read.
 *
 * @param {number} value
 */
export function readable(value) {
  return signed(String(Number(value.toPrecision(3))));
}
