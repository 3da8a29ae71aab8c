// The stage of a live figure: it draws a state, and changes it as the reader moves things.

import { fromAddress, toAddress } from "./address.js";
import { makeDial } from "./dials.js";
import { followHandles } from "./dragging.js";
import { element, setText } from "./element.js";
import { box, grip, ground, plot } from "./plot.js";
import { followButtons } from "./pressing.js";
import { markup, patch, shape } from "./svg.js";
import { followTheme } from "./theme.js";

/** @import { State } from "./address.js" */
/** @import { Dial } from "./dials.js" */
/** @import { Grip } from "./dragging.js" */
/** @import { Button, Point, View } from "./plot.js" */
/** @import { Shape } from "./svg.js" */

/**
 * A part of a sentence: plain, or in the look of the curve that it names.
 *
 * @typedef {string | [look: string, text: string]} Words
 */

/**
 * A live figure: a start, and what is drawn and said of each state.
 *
 * @template {State} S
 * @typedef {{ start: S, dials: Dial<S>[], views(state: S): View<S>[], words(state: S): Words[] }} Figure
 */

/**
 * @typedef {object} Model what an anywidget host, or the script on a page, hands over
 * @property {(name: string) => any} get
 * @property {(name: string, value: any) => void} set
 * @property {() => void} save_changes
 * @property {(event: string, heard: () => void) => void} on
 */

const [GAP, LEAST, WIDEST, HIGHEST] = [16, 250, 640, 440]; // of views, in pixels
let figures = 0;

/**
 * What hosts call: `render` for a page or a kernel, `still` for a picture that does not move.
 *
 * @template {State} S
 * @param {Figure<S>} figure
 */
export function stage(figure) {
  return {
    /** @param {{ model: Model, el: HTMLElement }} host */
    render({ model, el }) {
      const { name, alt } = model.get("spec");
      const root = element("div", { class: "fs-live fs-stage" });
      root.addEventListener("keydown", (event) => {
        if (!event.ctrlKey && !event.metaKey) event.stopPropagation(); // JupyterLab's commands
      });
      el.querySelector(".fs-still")?.remove();
      el.append(root);
      const unfollow = followTheme(root);
      const leave = start(figure, root, model, name, alt);
      return () => {
        unfollow();
        leave();
      };
    },
    /**
     * @param {Partial<S>} given
     * @param {number} width in pixels
     */
    still(given, width) {
      const { drawing } = compose(figure, { ...figure.start, ...given }, width, "still");
      return { svg: markup(drawing), words: figure.words({ ...figure.start, ...given }) };
    },
  };
}

/**
 * The drawing of a state: its views side by side where there is room, else below one another.
 *
 * @template {State} S
 * @param {Figure<S>} figure
 * @param {S} state
 * @param {number} width
 * @param {string} id
 */
function compose(figure, state, width, id) {
  const views = figure.views(state);
  const columns = Math.max(1, Math.min(views.length, Math.floor((width + GAP) / (LEAST + GAP))));
  const room = (width - GAP * (columns - 1)) / columns;
  /** @type {Record<string, Grip>} */
  const grips = {};
  /** @type {Record<string, Button<S>>} */
  const buttons = {};
  const [shapes, handles] = /** @type {[Shape[], Shape[]]} */ ([[], []]);
  let [left, top, right, bottom] = [0, 0, 0, 0];
  views.forEach((view, i) => {
    if (i && i % columns === 0) [left, top] = [0, bottom + GAP];
    const each = Math.min(room, WIDEST, HIGHEST / view.ratio);
    const height = each * view.ratio;
    const under = ground(view, { left, top, width: each, height }, `${id}-${i}`);
    const { on } = under;
    shapes.push(plot(view, under));
    (view.handles ?? []).forEach((handle, j) => {
      grips[`${i}-${j}`] = { handle, on };
      handles.push(grip(handle, view, on, `${i}-${j}`));
    });
    (view.buttons ?? []).forEach((button, j) => {
      buttons[`${i}-${j}`] = button;
      handles.push(box(button, on, `${i}-${j}`));
    });
    [right, bottom] = [Math.max(right, left + each), Math.max(bottom, top + height)];
    left += each + GAP;
  });
  const [w, h] = [right, bottom].map(Math.round);
  const drawing = shape(
    "svg",
    { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${w} ${h}`, width: w, height: h },
    shape("g", { "aria-hidden": "true" }, ...shapes),
    shape("g", {}, ...handles),
  );
  return { drawing, grips, buttons };
}

/**
 * Starts in `root`; returns what ends it.
 *
 * @template {State} S
 * @param {Figure<S>} figure
 * @param {HTMLElement} root
 * @param {Model} model
 * @param {string} name of the figure, as its address begins
 * @param {string} alt
 */
function start(figure, root, model, name, alt) {
  const id = `fs-${name}-${figures++}`; // another figure of the page counts by itself
  const first = { ...figure.start, ...model.get("state") };
  let state = { ...first, ...fromAddress(location.hash, name, first) };
  let waiting = 0;
  /** @type {Record<string, Grip>} */
  let grips = {};
  /** @type {Record<string, Button<S>>} */
  let buttons = {};

  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const words = element("p", { class: "fs-words", "aria-live": "polite" });
  const dials = figure.dials.map((dial) => makeDial(dial, () => state, change));
  root.append(element("div", { class: "fs-controls" }, ...dials.map((dial) => dial.element)), svg, words);

  function draw() {
    waiting = 0;
    const made = compose(figure, state, width.now(), id);
    ({ grips, buttons } = made);
    Object.assign(made.drawing.attributes, { role: "group", "aria-label": alt });
    patch(svg, made.drawing);
    for (const dial of dials) dial.show(state);
    write(words, figure.words(state));
  }
  function soon() {
    waiting ||= requestAnimationFrame(draw);
  }
  /**
   * @param {Partial<S>} changes
   * @param {boolean} settled whether the reader has let go
   */
  function change(changes, settled) {
    state = { ...state, ...changes };
    soon();
    if (!settled) return;
    model.set("state", state);
    model.save_changes();
    if (name && root.closest("[data-page]")) history.replaceState(null, "", toAddress(name, state, first));
  }

  followHandles(svg, (key) => grips[key], ({ handle }, to, settled) =>
    change(handle.move(state, /** @type {Point} */ (to.map(rounded))), settled),
  );
  followButtons(svg, (key) => change(buttons[key].press(state), true));
  model.on("change:state", () => {
    state = { ...state, ...model.get("state") };
    soon();
  });
  const unbind = followLinks(name, root, (hash) => {
    change({ ...first, ...fromAddress(hash, name, first) }, true);
    root.scrollIntoView({ block: "nearest" });
  });
  const width = followWidth(root, soon);
  draw();
  return () => {
    width.leave();
    unbind();
  };
}

/**
 * The width of an element, known without a layout.
 *
 * @param {HTMLElement} root
 * @param {() => void} changed
 */
function followWidth(root, changed) {
  let width = root.clientWidth || WIDEST;
  const observer = new ResizeObserver(() => {
    width = root.clientWidth || WIDEST;
    changed();
  });
  observer.observe(root);
  return { now: () => width, leave: () => observer.disconnect() };
}

/** @param {number} z */
function rounded(z) {
  return Number(z.toPrecision(3));
}

/**
 * Links of the text to a state of the figure; returns what ends that.
 *
 * @param {string} name
 * @param {HTMLElement} root
 * @param {(hash: string) => void} go
 */
function followLinks(name, root, go) {
  const follow = (/** @type {MouseEvent} */ event) => {
    const link = /** @type {Element} */ (event.target).closest?.("a[href*='#']");
    const hash = link?.getAttribute("href")?.replace(/^[^#]*/, "") ?? "";
    if (!name || !hash.startsWith(`#${name}?`)) return;
    event.preventDefault();
    go(hash);
  };
  const arrive = () => {
    if (name && location.hash.startsWith(`#${name}?`)) go(location.hash);
  };
  const page = root.ownerDocument;
  page.addEventListener("click", follow);
  addEventListener("hashchange", arrive);
  if (name && location.hash.startsWith(`#${name}?`)) root.scrollIntoView({ block: "center" });
  return () => {
    page.removeEventListener("click", follow);
    removeEventListener("hashchange", arrive);
  };
}

/**
 * Writes a sentence with its coloured words; the parts that stay the same are left alone.
 *
 * @param {HTMLElement} target
 * @param {Words[]} words
 */
function write(target, words) {
  words.forEach((part, i) => {
    const [look, text] = typeof part === "string" ? ["", part] : [`fs-word ${part[0]}`, part[1]];
    let span = target.children[i];
    if (!span) target.append((span = element("span")));
    if (span.className !== look) span.className = look;
    setText(span, text);
  });
  while (target.children.length > words.length) target.lastElementChild?.remove();
}
