// Paper is white: a page in the dark mode is printed in the colours of the light one.
{
  /** @type {string | undefined} */
  let shown;
  window.addEventListener("beforeprint", () => {
    shown = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
  });
  window.addEventListener("afterprint", () => {
    if (shown !== undefined) document.documentElement.dataset.theme = shown;
  });
}
