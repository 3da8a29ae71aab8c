// A question with a field for the answer: the button and the verdict.

import { verdict } from "./answer.js";

/**
 * Bring a form to life; without it, it says that it cannot check anything.
 *
 * @param {HTMLFormElement} form
 */
export function ask(form) {
  const [answer, tol, right, hint] = JSON.parse(decode(form.dataset.content ?? ""));
  const field = /** @type {HTMLInputElement} */ (form.querySelector("input"));
  const output = /** @type {HTMLOutputElement} */ (form.querySelector("output"));
  output.textContent = "";
  /** @type {HTMLButtonElement} */ (form.querySelector("button")).hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    output.textContent = verdict(field.value, answer, tol, right, hint);
  });
}

/**
 * Text from base64.
 *
 * @param {string} text
 */
function decode(text) {
  return new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
}
