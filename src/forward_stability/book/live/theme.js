/**
 * Marks the root as dark where the host writes in a light colour, now and when that changes.
 * Returns what ends it.
 *
 * @param {HTMLElement} root
 */
export function followTheme(root) {
  const look = () => {
    if (!root.parentElement?.isConnected) return; // JupyterLab puts it into its page later
    const [red, green, blue] = rgb(getComputedStyle(root.parentElement).color);
    root.toggleAttribute("data-dark", 0.3 * red + 0.6 * green + 0.1 * blue > 128);
  };
  const observer = new MutationObserver(look);
  for (const part of [document.documentElement, document.body])
    observer.observe(part, { attributes: true });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", look);
  const placed = new ResizeObserver(look);
  placed.observe(root);
  return () => {
    observer.disconnect();
    placed.disconnect();
    scheme.removeEventListener("change", look);
  };
}

/**
 * The numbers of a computed colour.
 *
 * @param {string} colour such as "rgb(0, 0, 0)"
 */
function rgb(colour) {
  return (colour.match(/[\d.]+/g) ?? []).map(Number);
}
