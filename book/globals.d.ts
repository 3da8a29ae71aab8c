/** What the scripts in _static find on a page of the book. */

declare const MathJax: {
  startup: { promise: Promise<unknown> };
  typesetPromise(elements: Element[]): Promise<void>;
};

interface Window {
  /** By the page and the anchor of a reference; see _ext/previews.py. */
  previews: Record<string, string>;
}
