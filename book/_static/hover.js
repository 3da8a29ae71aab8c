// Shows what a reference refers to: an equation, a theorem, a term, a chapter, an entry of the
// bibliography.
// The texts are in previews.js, which book/_ext/previews.py writes; it is loaded at the first need.
"use strict";
{
  const { src } = /** @type {HTMLScriptElement} */ (document.currentScript);
  const root = new URL("..", src);
  const LINKS = ".bd-article a.reference.internal";
  const DELAY = 200; // milliseconds until a preview comes, and until it goes
  const GAP = 4, MARGIN = 8; // pixels to the reference, and to the edges of the window
  /** @type {{ link: Element, box: HTMLElement } | null} */
  let shown = null; // a reference and the box of its preview
  let timer = 0;
  /** @type {Promise<Record<string, string>> | undefined} */
  let texts;

  function load() {
    texts ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.onload = () => resolve(window.previews);
      script.onerror = reject;
      script.src = new URL("_static/previews.js", root).href;
      document.head.append(script);
    });
    return texts;
  }

  /** @param {Element} link also one of a drawing */
  async function show(link) {
    if (link === shown?.link) return;
    hide();
    const box = document.createElement("div");
    const mine = (shown = { link, box });
    const { pathname, hash } = new URL(link.getAttribute("href") ?? "", location.href);
    const text = (await load())[pathname.slice(root.pathname.length) + hash];
    if (!text || mine !== shown) return;
    Object.assign(box, { id: "preview", role: "tooltip", innerHTML: text });
    box.style.visibility = "hidden"; // until it is typeset and has its place
    document.body.append(box);
    const typeset = () => MathJax.typesetPromise([box]);
    await (MathJax.startup.promise = MathJax.startup.promise.then(typeset));
    if (mine !== shown) return;
    place(box, link.getBoundingClientRect());
    link.removeAttribute("title"); // or the browser would show it as well
    link.setAttribute("aria-describedby", box.id);
    box.style.visibility = "";
  }

  /**
   * @param {HTMLElement} box
   * @param {DOMRect} link
   */
  function place(box, link) {
    const { width, height } = box.getBoundingClientRect();
    const below = link.bottom + GAP + height <= innerHeight || link.top - GAP - height < 0;
    const right = document.documentElement.clientWidth - MARGIN - width;
    box.style.top = `${scrollY + (below ? link.bottom + GAP : link.top - GAP - height)}px`;
    box.style.left = `${scrollX + Math.max(MARGIN, Math.min(link.left, right))}px`;
  }

  function hide() {
    clearTimeout(timer);
    shown?.link.removeAttribute("aria-describedby");
    shown?.box.remove();
    shown = null;
  }

  document.addEventListener("pointerover", ({ target, pointerType }) => {
    if (pointerType === "touch" || !(target instanceof Element)) return;
    const link = target.closest(LINKS);
    clearTimeout(timer);
    if (link) timer = setTimeout(show, DELAY, link);
    else if (shown && !shown.box.contains(target) && !shown.link.matches(":focus-visible"))
      timer = setTimeout(hide, DELAY);
  });
  document.documentElement.addEventListener("pointerleave", hide);
  document.addEventListener("focusin", ({ target }) => {
    if (!(target instanceof Element)) return;
    if (target.matches(LINKS) && target.matches(":focus-visible")) show(target);
  });
  document.addEventListener("focusout", ({ target }) => {
    if (target === shown?.link) hide();
  });
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") hide();
  });
}
