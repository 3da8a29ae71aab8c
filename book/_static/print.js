// Paper is white: a page in the dark mode is printed in the colours of the light one. What moves on
// the page says on paper where that is, if the page has an address that others can open.
{
  /** @type {string | undefined} */
  let shown;
  window.addEventListener("beforeprint", () => {
    shown = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    if (!location.protocol.startsWith("http")) return;
    for (const stage of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".fs-stage")))
      stage.dataset.address = `${location.href.split("#")[0]}#${stage.parentElement?.id}`;
  });
  window.addEventListener("afterprint", () => {
    if (shown !== undefined) document.documentElement.dataset.theme = shown;
  });
}
