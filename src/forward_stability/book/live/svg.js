// A drawing as plain data, which becomes elements of a page or a text.

import { setText } from "./element.js";

/** @typedef {{ tag: string, attributes: Record<string, string | number>, children: (Shape | string)[] }} Shape */

/**
 * @param {string} tag
 * @param {Shape["attributes"]} attributes
 * @param {(Shape | string)[]} children
 * @returns {Shape}
 */
export const shape = (tag, attributes, ...children) => ({ tag, attributes, children });

/** @type {WeakMap<Element, Shape>} what was made of each element */
const drawn = new WeakMap();

/** @type {Shape} */
const NOTHING = { tag: "", attributes: {}, children: [] };

/**
 * Turns an element into what a shape says, with as few changes as possible, so that what has the
 * focus or is being dragged stays the same element. Nobody else changes it or what is in it; a shape
 * that was drawn does not change.
 *
 * @param {Element} target
 * @param {Shape} wanted of the same tag
 */
export function patch(target, wanted) {
  const before = drawn.get(target) ?? NOTHING;
  if (before === wanted) return;
  const { attributes, children } = before;
  drawn.set(target, wanted);
  for (const name in attributes) if (!(name in wanted.attributes)) target.removeAttribute(name);
  for (const name in wanted.attributes) {
    const value = wanted.attributes[name];
    if (attributes[name] !== value) target.setAttribute(name, String(value));
  }
  let element = target.firstElementChild;
  wanted.children.forEach((child, i) => {
    if (typeof child === "string") {
      if (children[i] !== child) setText(target, child); // a text is alone in its element
      return;
    }
    if (element?.tagName !== child.tag) {
      const made = document.createElementNS("http://www.w3.org/2000/svg", child.tag);
      if (element) element.replaceWith(made);
      else target.append(made);
      element = made;
    }
    patch(element, child);
    element = element.nextElementSibling;
  });
  while (element) {
    const next = element.nextElementSibling;
    element.remove();
    element = next;
  }
}

/**
 * The text of a shape.
 *
 * @param {Shape | string} what
 * @returns {string}
 */
export function markup(what) {
  if (typeof what === "string") return escaped(what);
  const { tag, attributes, children } = what;
  const given = Object.entries(attributes).map(([name, value]) => ` ${name}="${escaped(String(value))}"`);
  return `<${tag}${given.join("")}>${children.map(markup).join("")}</${tag}>`;
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
