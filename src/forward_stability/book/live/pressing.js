// Buttons of a drawing follow the mouse, a finger, the space bar and the enter key.

/**
 * @param {SVGSVGElement} drawing
 * @param {(key: string) => void} press
 */
export function followButtons(drawing, press) {
  const follow = (/** @type {Event} */ event) => {
    const button = /** @type {Element} */ (event.target).closest("[data-button]");
    if (!button) return;
    event.preventDefault();
    press(button.getAttribute("data-button") ?? "");
  };
  drawing.addEventListener("click", follow);
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") follow(event);
  });
}
