"""Pages of the built book, opened in a browser as a reader opens them."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from browser import SITE, open_page
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect

PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.relative_to(SITE).parts and path != SITE / "index.html"
)


class Visit:
    """One page of the book, opened once for all tests of it, and what the browser said."""

    def __init__(self, browser: Browser, name: str, address: str) -> None:
        self.name, self.complaints, self.responses = name, [], []
        self.origin = urlsplit(address)[:2]
        self.context = browser.new_context(viewport={"width": 1280, "height": 900})
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfailed", lambda r: self.complaints.append(f"failed: {r.url}"))
        self.page.on("response", self._answered)
        open_page(self.page, address)

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url)[:2] not in (self.origin, ("data", ""), ("blob", "")):
            self.complaints.append(f"another host: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")
        if urlsplit(response.url)[:2] == self.origin:
            self.responses.append(response)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type}: {message.text}")


def show_everything(page: Page) -> None:
    """Open what is collapsed, proofs and solutions, as a reader does."""
    opened = page.evaluate("""() => {
        const folded = [...document.querySelectorAll("details:not([open])")];
        const hidden = [...document.querySelectorAll(".toggle-hidden button.toggle-button")];
        for (const e of folded) e.open = true;
        for (const e of hidden) e.click();
        return folded.length + hidden.length;
    }""")
    expect(page.locator(".toggle-hidden")).to_have_count(0)
    if opened:  # the theme takes 300 ms until it gives tab stops to what scrolls
        page.wait_for_timeout(400)


@contextmanager
def bare(page: Page) -> Iterator[None]:
    """The page without the inside of its formulas, the colours of its code and most signatures.

    Axe-core takes three times as long with them: the tools that make them make all alike.
    """
    page.evaluate("""() => {
        const code = [...document.querySelectorAll(".highlight pre")];
        const inside = [...document.querySelectorAll("mjx-container")];
        const signatures = [...document.querySelectorAll("dt.sig")].filter((_, i) => i % 10);
        globalThis.away = [...code, ...inside, ...signatures].map((e) => [e, ...e.childNodes]);
        for (const [e] of away) e.replaceChildren(...(code.includes(e) ? [e.textContent] : []));
    }""")
    yield
    page.evaluate("() => { for (const [e, ...all] of away) e.replaceChildren(...all); }")
