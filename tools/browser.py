"""The built book in a headless Chromium, for the tests and for screenshots."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """The path of an installed Chromium or Chrome, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def launch(executable: str) -> Iterator[Browser]:
    """A running browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_args: Any) -> None:
        pass


@contextmanager
def serve(folder: Path = SITE) -> Iterator[str]:
    """Serve the folder on a free port of this machine; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def open_page(page: Page, address: str) -> None:
    """Open a page of the book and wait until its formulas are typeset."""
    page.goto(address, wait_until="load")
    page.evaluate("window.MathJax ? window.MathJax.startup.promise.then(() => true) : true")


def set_colours(page: Page, dark: bool) -> None:
    """Give a page without a style sheet the colours of the book, as they are in the dark or not."""
    colours = ("#14181e", "#ced6dd") if dark else ("#ffffff", "#222832")
    page.evaluate(
        "([b, c]) => { Object.assign(document.body.style, {background: b, color: c}) }", colours
    )


def find_barriers(
    page: Page,
    within: str = "html",
    rules: Sequence[str] = (),
    without: Sequence[str] = (),
    accepted: Sequence[tuple[str, str]] = (),
) -> list[list[str]]:
    """What axe-core finds that bars a reader with a keyboard or a screen reader.

    Args:
        page: an open page.
        within: a selector of what is looked at.
        rules: the rules of axe-core to check; default: all.
        without: rules that are not checked then.
        accepted: rules with a selector of the elements that may break them.

    Returns:
        the rule, the element and the reason, of each finding.
    """
    if not AXE.is_file():
        raise FileNotFoundError(f"{AXE}: run npm ci")
    page.wait_for_function("document.getAnimations().length === 0")  # colours may be changing
    page.add_script_tag(path=AXE)
    script = """async ([within, rules, without, accepted]) => {
        const off = Object.fromEntries(without.map(rule => [rule, {enabled: false}]));
        const options = {elementRef: true, resultTypes: ["violations"], rules: off};
        const result = await axe.run(within, rules.length ? {...options, runOnly: rules} : options);
        const least = rules.length ? 1 : 11; // rules that had something to check
        if (result.passes.length < least) throw new Error("axe-core has checked too little");
        const allowed = (rule, e) => accepted.some(([r, s]) => r === rule.id && e.matches(s));
        return result.violations.flatMap(rule => rule.nodes.filter(n => !allowed(rule, n.element))
            .map(n => [rule.id, n.html.slice(0, 200), n.failureSummary]));
    }"""
    return page.evaluate(script, [within, list(rules), list(without), list(accepted)])
