"""Record book/_static/ball.webp, the picture of the README: the ball of chapter 2, dragged.

Usage: python tools/motion.py [--output FILE]
"""

import argparse
import io
import math
import os
import sys
import tempfile
from pathlib import Path

from browser import ROOT, find_chromium, launch
from PIL import Image
from playwright.sync_api import Page

from forward_stability.book import figures

TARGET = ROOT / "book" / "_static" / "ball.webp"
FRAMES, EACH, MOST = 60, 70, 1_000_000  # pictures, milliseconds for each of them, bytes


def record(page: Page) -> list[Image.Image]:
    """The figure while its first handle is led round a loop that touches both walls."""
    handle = page.locator("[data-handle] .grip").first
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    pictures = []
    for number in range(FRAMES):
        angle = 2 * math.pi * number / FRAMES
        page.mouse.move(x - 70 * (1 - math.cos(angle)), y + 70 * math.sin(angle))
        page.evaluate("new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))")
        shot = page.locator(".fs-stage").screenshot()
        pictures.append(Image.open(io.BytesIO(shot)).convert("RGB"))
    page.mouse.up()
    height = max(picture.height for picture in pictures)  # its sentence takes one line or two
    return [paper(picture, height) for picture in pictures]


def paper(picture: Image.Image, height: int) -> Image.Image:
    """The picture on white, so high."""
    made = Image.new("RGB", (picture.width, height), "white")
    made.paste(picture)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description="Record a live figure in motion.")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        print("a Chromium or Chrome is needed", file=sys.stderr)
        return 2
    os.environ[figures.PAGE] = "1"
    from forward_stability.book.live.figure import live

    html = live("ball", "A ball between two walls.")._repr_mimebundle_()["text/html"]
    with launch(executable) as browser, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ball.html"
        style = "body { font-family: sans-serif; margin: 12px }"
        file.write_text(
            f"<!doctype html><meta charset='utf-8'><style>{style}</style>{html}", "utf-8"
        )
        page = browser.new_page(viewport={"width": 660, "height": 900})
        page.goto(file.as_uri())
        page.locator(".fs-words").wait_for()
        pictures = record(page)
    first, *others = pictures
    first.save(
        options.output,
        save_all=True,
        append_images=others,
        duration=EACH,
        loop=0,
        quality=60,
        method=4,
    )
    size = options.output.stat().st_size
    print(f"{options.output}: {size / 1000:.0f} kB")
    return 0 if size <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
