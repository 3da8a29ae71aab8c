"""How long a live figure takes to redraw while the reader drags, in headless Chromium.

    python benchmarks/live_frames.py [--slowdown 4] [--moves 40] [--out table.json] [NAME ...]

One row a handle and a slider of each figure: the median and the 95th percentile, in milliseconds,
of the time that the processor spends on the script, the styles and the layout of a redraw; what
else runs on the machine does not count. The times are multiplied by the slowdown of a phone.
Chromium can slow a page down itself, by signals that stop it for a while; but beside other work a
script that takes 1.4 ms each time then takes 1.9 to 12.5 (5th and 95th percentile), and the spread
of the table would be that of the signals. The first five moves do not count, and each move waits
until the one before is drawn.
"""

import argparse
import math
import os
import sys
import tempfile
from importlib import resources
from pathlib import Path

import numpy as np

from forward_stability.book import figures

os.environ[figures.PAGE] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from browser import find_chromium, launch
from playwright.sync_api import CDPSession, Locator

from forward_stability.book import live as package
from forward_stability.book.live.figure import live
from forward_stability.experiments.provenance import command, environment
from forward_stability.experiments.storage import write_json

PACKAGE = resources.files("forward_stability.book.live")
NAMES = sorted(
    file.name.removeprefix("figure_").removesuffix(".js")
    for file in PACKAGE.iterdir()
    if file.name.startswith("figure_") and file.name.endswith(".js")
)

PLACE = """(part) => {
    const { x, y, width, height } = part.getBoundingClientRect();
    const reach = part.matches("input") ? [0.45 * width, 0] : [60, 60];
    return [x + width / 2, y + height / 2, ...reach];
}"""
PARTS = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")
DRAWN = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


def row(figure: str, what: str, times: list[float]) -> dict[str, object]:
    p50, p95 = np.percentile(times, [50, 95])
    return {"figure": figure, "moved": what, "p50": round(p50, 1), "p95": round(p95, 1)}


def spent(session: CDPSession) -> float:
    """The milliseconds of the processor that the page has spent on scripts, styles and layout."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * sum(m["value"] for m in metrics if m["name"] in PARTS)


def grip(part: Locator) -> tuple[float, float, float, float]:
    """Where the mouse takes hold of a part, and how far it moves it, in pixels."""
    part.scroll_into_view_if_needed()
    return part.evaluate(PLACE)


def mouse(session: CDPSession, what: str, x: float, y: float) -> None:
    """An event of the mouse; that of Playwright runs a script in the page at each."""
    event = {"type": f"mouse{what}", "x": x, "y": y, "button": "left", "buttons": 1}
    session.send("Input.dispatchMouseEvent", event | {"clickCount": 1})


def measure(session: CDPSession, part: Locator, moves: int) -> list[float]:
    """The times of all redraws while the mouse drags a part, but for the first five."""
    x, y, across, down = grip(part)
    mouse(session, "Pressed", x, y)
    times = []
    for number in range(moves):
        before = spent(session)
        share = number / moves
        place = x + across * math.sin(20 * share), y + down * math.cos(15 * share)
        mouse(session, "Moved", *place)
        session.send("Runtime.evaluate", {"expression": DRAWN, "awaitPromise": True})
        times.append(spent(session) - before)
    mouse(session, "Released", x, y)
    return times[5:]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how live figures follow the reader.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(NAMES)}")
    parser.add_argument("--slowdown", type=float, default=4, help="of the processor; default: 4")
    parser.add_argument("--moves", type=int, default=40, help="of each part; default: 40")
    parser.add_argument("--out", type=Path, help="a JSON file for the table")
    options = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        print("a Chromium or Chrome is needed", file=sys.stderr)
        return 2
    rows = []
    with launch(executable) as browser, tempfile.TemporaryDirectory() as folder:
        for name in options.names or NAMES:
            package.Page.carried.clear()
            html = live(name, "A figure.")._repr_mimebundle_()["text/html"]
            file = Path(folder) / f"{name}.html"
            file.write_text(f"<!doctype html><meta charset='utf-8'>{html}", "utf-8")
            page = browser.new_page(viewport={"width": 800, "height": 900})
            page.goto(file.as_uri())
            page.locator(".fs-words").wait_for()
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            for part in page.locator("[data-handle], input[type=range]").all():
                what = part.evaluate("e => e.getAttribute('aria-label') ?? e.labels[0].textContent")
                times = [options.slowdown * z for z in measure(session, part, options.moves)]
                rows.append(row(name, what, times))
                print("{figure:10} {moved:45} {p50:7} {p95:7}".format(**rows[-1]), flush=True)
            page.close()
    if options.out:
        write_json(
            options.out, {"command": command(), "environment": environment("cpu"), "rows": rows}
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
