// Handles follow the mouse, a finger and the arrow keys.

/** @import { Handle, Point, Scales } from "./plot.js" */

/** @typedef {{ handle: Handle<any>, on: Scales }} Grip */

const KEYS = /** @type {Record<string, Point>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
});

/** @param {Event} event */
function keyOf(event) {
  const handle = /** @type {SVGElement} */ (event.target).closest("[data-handle]");
  return handle?.getAttribute("data-handle") ?? "";
}

/**
 * @param {SVGSVGElement} drawing
 * @param {(key: string) => Grip} find what a handle is now
 * @param {(grip: Grip, to: Point, settled: boolean) => void} move
 */
export function followHandles(drawing, find, move) {
  let held = "";
  // A touch-action of parts of a drawing does not keep every browser from scrolling.
  drawing.addEventListener("touchstart", (event) => keyOf(event) && event.preventDefault(), { passive: false });
  const place = (/** @type {PointerEvent} */ event, /** @type {Grip} */ { on }) => {
    const box = drawing.getBoundingClientRect();
    const pixel = [event.clientX - box.left, event.clientY - box.top];
    return /** @type {Point} */ ([on.x.inverse(pixel[0]), on.y.inverse(pixel[1])]);
  };
  drawing.addEventListener("pointerdown", (event) => {
    held = keyOf(event);
    if (!held) return;
    drawing.setPointerCapture(event.pointerId);
    /** @type {SVGElement | null} */ (drawing.querySelector(`[data-handle="${held}"]`))?.focus();
    event.preventDefault();
  });
  drawing.addEventListener("pointermove", (event) => {
    if (held) move(find(held), place(event, find(held)), false);
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel"]))
    drawing.addEventListener(end, (event) => {
      if (held) move(find(held), end === "pointerup" ? place(event, find(held)) : find(held).handle.at, true);
      held = "";
    });
  drawing.addEventListener("keydown", (event) => {
    const [key, way] = [keyOf(event), KEYS[event.key]];
    if (!key || !way) return;
    const { handle, on } = find(key);
    const pixels = event.shiftKey ? 20 : 4;
    const [x, y] = handle.at;
    const to = handle.step
      ? [x + way[0] * handle.step, y + way[1] * handle.step]
      : [on.x.inverse(on.x(x) + way[0] * pixels), on.y.inverse(on.y(y) - way[1] * pixels)];
    move({ handle, on }, /** @type {Point} */ (to), true);
    event.preventDefault();
  });
}
