"""How long a live figure takes to redraw while the reader drags, in headless Chromium.

    python benchmarks/live_frames.py [--slowdown 4] [--moves 40] [--out table.json] [NAME ...]

One row a handle and a slider of each figure: the median and the 95th percentile, in milliseconds,
of the time that the processor spends on the script, the styles and the layout of a redraw; what
else runs on the machine does not count. The processor is slowed down as a phone's would be.
"""

import argparse
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
from playwright.sync_api import CDPSession, Locator, Page

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

# Handles and sliders as the reader moves them; each move ends when its frame is drawn.
START = """(part) => {
    const frame = () => new Promise((done) =>
        requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));
    const send = (target, kind, clientX, clientY) => target.dispatchEvent(
        new PointerEvent(kind, { pointerId: 1, bubbles: true, clientX, clientY }));
    if (part.matches("input")) {
        const [low, high] = [Number(part.min), Number(part.max)];
        globalThis.move = (share) => {
            part.value = low + (high - low) * share;
            part.dispatchEvent(new Event("input", { bubbles: true }));
            return frame();
        };
        return;
    }
    const drawing = part.ownerSVGElement;
    drawing.setPointerCapture = () => {};
    const box = part.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    send(part, "pointerdown", x, y);
    globalThis.move = (share) => {
        send(drawing, "pointermove", x + 60 * Math.sin(20 * share), y + 60 * Math.cos(15 * share));
        if (share === 1) send(drawing, "pointerup", x, y);
        return frame();
    };
}"""
PARTS = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")


def row(figure: str, what: str, times: list[float]) -> dict[str, object]:
    p50, p95 = np.percentile(times, [50, 95])
    return {"figure": figure, "moved": what, "p50": round(p50, 1), "p95": round(p95, 1)}


def spent(session: CDPSession) -> float:
    """The milliseconds of the processor that the page has spent on scripts, styles and layout."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * sum(m["value"] for m in metrics if m["name"] in PARTS)


def measure(page: Page, session: CDPSession, part: Locator, moves: int) -> list[float]:
    """The times of all redraws while the reader moves a part, but for the first five."""
    part.evaluate(START)
    times = []
    for number in range(1, moves + 1):
        before = spent(session)
        page.evaluate("share => move(share)", number / moves)
        times.append(spent(session) - before)
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
            session.send("Emulation.setCPUThrottlingRate", {"rate": options.slowdown})
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            for part in page.locator("[data-handle], input[type=range]").all():
                what = part.evaluate("e => e.getAttribute('aria-label') ?? e.labels[0].textContent")
                rows.append(row(name, what, measure(page, session, part, options.moves)))
                print("{figure:10} {moved:45} {p50:7} {p95:7}".format(**rows[-1]), flush=True)
            page.close()
    if options.out:
        write_json(
            options.out, {"command": command(), "environment": environment("cpu"), "rows": rows}
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
