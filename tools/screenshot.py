"""Draw book/_static/noise-slider.png, the picture of the README, from the built book.

Usage: python tools/screenshot.py [--page book/14_corrupted_images.html]
"""

import argparse
import sys
from pathlib import Path

from browser import SITE, find_chromium, launch, open_page, serve
from playwright.sync_api import expect

TARGET = SITE.parents[1] / "book" / "_static" / "noise-slider.png"


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw an explorer of the built book.")
    parser.add_argument("--page", default="book/14_corrupted_images.html", help="page of the site")
    parser.add_argument("--number", type=int, default=0, help="which explorer, from 0")
    parser.add_argument("--image", type=int, default=0, help="which of its images, from 0")
    parser.add_argument("--position", type=int, default=40, help="where to move its slider")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    executable = find_chromium()
    if executable is None or not (SITE / options.page).exists():
        missing = "a Chromium" if executable is None else f"{SITE / options.page} (make book)"
        print(f"needs {missing}", file=sys.stderr)
        return 2
    with serve() as address, launch(executable) as browser:
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        open_page(page, f"{address}/{options.page}")
        figure = page.locator(".fs-live").nth(options.number)
        figure.scroll_into_view_if_needed()
        figure.get_by_label("Image", exact=True).select_option(index=options.image)
        slider = figure.locator("input[type=range]")
        slider.fill(str(options.position))
        slider.evaluate("e => e.blur()")
        expect(figure.locator(".fs-turning").last).to_contain_text("answer", timeout=30_000)
        expect(figure.locator(".fs-turning").last).not_to_contain_text("…", timeout=30_000)
        figure.screenshot(path=options.output)
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
