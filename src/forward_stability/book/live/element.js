/**
 * An HTML element with its attributes and children. An attribute that is `true` is there without a
 * value.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number | true>} attributes
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    made.setAttribute(name, value === true ? "" : String(value));
  made.append(...children);
  return made;
}

/**
 * The text of an element that holds nothing else; the same text node is kept, which a browser lays
 * out faster than another.
 *
 * @param {Element} of
 * @param {string} text
 */
export function setText(of, text) {
  const node = /** @type {Text | null} */ (of.firstChild);
  if (!node) of.textContent = text;
  else if (node.data !== text) node.data = text;
}
