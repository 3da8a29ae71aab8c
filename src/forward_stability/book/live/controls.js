// What the reader moves and chooses.

import { element } from "./element.js";

let identifiers = 0;

/**
 * A control below its label.
 *
 * @param {string} text
 * @param {HTMLElement} control
 * @param {HTMLElement[]} more
 */
export function labelled(text, control, ...more) {
  control.id = `fs-${Date.now().toString(36)}-${identifiers++}`;
  const label = element("label", { for: control.id }, text);
  return element("div", { class: "fs-control" }, label, control, ...more);
}

/**
 * A drop-down list of texts; `changed` is called with the index.
 *
 * @param {string[]} texts
 * @param {(index: number) => void} changed
 */
export function choice(texts, changed) {
  const list = element("select", { autocomplete: "off" });
  for (const text of texts) addOption(list, text);
  list.addEventListener("change", () => changed(list.selectedIndex));
  return list;
}

/**
 * One more text at the end of a drop-down list.
 *
 * @param {HTMLSelectElement} list
 * @param {string} text
 */
export function addOption(list, text) {
  list.append(element("option", { value: list.length }, text));
}

/**
 * A slider over 0, …, most; `moved` is called with its position.
 *
 * @param {number} most
 * @param {(position: number) => void} moved
 */
export function slider(most, moved) {
  const made = element("input", { type: "range", min: 0, max: most, value: 0, autocomplete: "off" });
  made.addEventListener("input", () => moved(Number(made.value)));
  return made;
}
