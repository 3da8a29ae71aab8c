// A solution is folded away when the theme looks for code that scrolls and needs a tab stop, and has
// no size then. When the reader opens one, the theme looks again, as after any change of the window.
document.addEventListener("click", ({ target }) => {
  if (target instanceof Element && target.closest(".toggle"))
    window.dispatchEvent(new Event("resize"));
});
