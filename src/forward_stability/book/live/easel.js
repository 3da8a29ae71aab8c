// A picture that the reader paints on with the mouse, a finger or the keyboard.

/** @import { Shape } from "./canvas.js" */
import { draw } from "./canvas.js";
import { element } from "./element.js";

const KEYS = /** @type {Record<string, [number, number]>} */ ({
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
});
const INK = /** @type {Record<string, number>} */ ({ " ": 1, "+": 1, "=": 1, "-": -1 });

export class Easel {
  /**
   * @param {string} name for a screen reader
   * @param {Shape} shape
   * @param {number} step of the arrow keys, in pixels
   * @param {(row: number, column: number, ink: number) => void} paint at a point, in pixels; 1 adds
   *   ink, -1 takes it away, 0 is what the reader has chosen
   */
  constructor(name, [channels, height, width], step, paint) {
    this.shape = /** @type {Shape} */ ([channels, height, width]);
    this.paint = paint;
    this.cursor = [(height + step) / 2, (width + step) / 2];
    this.canvas = element("canvas", { width, height, role: "application", "aria-label": name });
    this.mark = element("span", { class: "fs-outline", "aria-hidden": "true" });
    this.root = element("div", { class: "fs-easel" }, this.canvas, this.mark);
    this.open(true);
    this.followPointer();
    this.canvas.addEventListener("keydown", (event) => {
      if (!this.isOpen || event.ctrlKey || event.metaKey || event.altKey) return;
      const way = KEYS[event.key];
      if (way) {
        const most = [height, width];
        this.cursor = this.cursor.map((z, i) => Math.min(most[i] - step / 2, Math.max(step / 2, z + step * way[i])));
        this.place();
      } else if (event.key in INK) this.paint(this.cursor[0], this.cursor[1], INK[event.key]);
      else return;
      event.preventDefault();
    });
    this.mark.style.width = this.mark.style.height = `${(100 * step) / width}%`;
    this.step = step;
    this.place();
  }

  followPointer() {
    let held = false;
    const [, height, width] = this.shape;
    const touch = (/** @type {PointerEvent} */ event) => {
      const box = this.canvas.getBoundingClientRect();
      const row = ((event.clientY - box.top) / box.height) * height;
      this.paint(row, ((event.clientX - box.left) / box.width) * width, 0);
    };
    this.canvas.addEventListener("touchstart", (event) => this.isOpen && event.preventDefault(), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => {
      if (!this.isOpen || event.button !== 0) return;
      held = true;
      this.canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
      touch(event);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (held) touch(event);
    });
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"]))
      this.canvas.addEventListener(end, () => (held = false));
  }

  /**
   * Whether it can be painted on.
   *
   * @param {boolean} open
   */
  open(open) {
    this.isOpen = open;
    this.canvas.tabIndex = open ? 0 : -1;
    this.canvas.setAttribute("role", open ? "application" : "img");
    this.root.toggleAttribute("data-open", open);
  }

  /** Puts the mark of the keyboard where it is. */
  place() {
    const [, height, width] = this.shape;
    this.mark.style.top = `${(100 * (this.cursor[0] - this.step / 2)) / height}%`;
    this.mark.style.left = `${(100 * (this.cursor[1] - this.step / 2)) / width}%`;
  }

  /** @param {Float64Array} image */
  show(image) {
    draw(this.canvas, image, this.shape);
  }
}
