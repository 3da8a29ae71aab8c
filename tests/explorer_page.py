"""An explorer on a page that was opened from a file, without a kernel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from forward_stability.book import figures
from forward_stability.book.live import Page as LivePage
from forward_stability.book.live import Widget


@contextmanager
def explorer_page(
    browser: Browser, folder: Path, make: Callable[[], LivePage | Widget]
) -> Iterator[Page]:
    """The page, 1000 pixels wide; at the end the browser must not have complained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(figures.PAGE, "1")
        patch.setattr(LivePage, "carried", set())
        html = make()._repr_mimebundle_()["text/html"]  # type: ignore[call-overload, index]
    path = folder / "page.html"
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test</title>'
        '<meta name="viewport" content="width=device-width"></head>'
        f"<body><main>{html}</main></body></html>",
        "utf-8",
    )
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert complaints == []
