// A drawing as plain data, which becomes elements of a page or a text.

/** @typedef {{ tag: string, attributes: Record<string, string | number>, children: (Shape | string)[] }} Shape */

/**
 * @param {string} tag
 * @param {Record<string, string | number | undefined>} attributes those that are undefined are left out
 * @param {(Shape | string)[]} children
 * @returns {Shape}
 */
export function shape(tag, attributes, ...children) {
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return { tag, attributes: /** @type {Shape["attributes"]} */ (Object.fromEntries(given)), children };
}

/**
 * Turns an element into what a shape says, with as few changes as possible, so that what has the
 * focus or is being dragged stays the same element.
 *
 * @param {Element} target
 * @param {Shape} wanted of the same tag
 */
export function patch(target, { attributes, children }) {
  for (const { name } of [...target.attributes]) if (!(name in attributes)) target.removeAttribute(name);
  for (const [name, value] of Object.entries(attributes))
    if (target.getAttribute(name) !== String(value)) target.setAttribute(name, String(value));
  const texts = children.filter((child) => typeof child === "string");
  if (texts.length) {
    if (target.textContent !== texts.join("")) target.textContent = texts.join("");
    return;
  }
  children.forEach((child, i) => {
    if (typeof child === "string") return;
    let there = target.children[i];
    if (there?.tagName !== child.tag) {
      const made = document.createElementNS("http://www.w3.org/2000/svg", child.tag);
      if (there) there.replaceWith(made);
      else target.append(made);
      there = made;
    }
    patch(there, child);
  });
  while (target.children.length > children.length) target.lastElementChild?.remove();
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
