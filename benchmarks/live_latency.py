"""How long a move of the slider takes in the noise explorer, in headless Chromium.

    python benchmarks/live_latency.py [--moves 200] [--out table.json] RUN ...

One row an explorer: one with each network by itself, and one with all of them. A move is measured
from the event of the slider to the numbers in the page. The blocked time is that of the longest
task of the main thread while the slider moves (the browser reports those of more than 50 ms).
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from forward_stability.book import figures

os.environ[figures.PAGE] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from browser import find_chromium, launch
from playwright.sync_api import Browser

from forward_stability.book.live import Page
from forward_stability.book.live.noise_explorer import noise_explorer
from forward_stability.experiments.provenance import command, environment
from forward_stability.experiments.storage import write_json

MEASURE = """async (moves) => {
    const slider = document.querySelector(".fs-live input[type=range]");
    const panels = [...document.querySelectorAll(".fs-panel")];
    const times = [], tasks = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)))
        .observe({ type: "longtask" });
    for (let i = 0; i < moves + 20; i++) {
        slider.value = 1 + ((i * 37) % 99);
        const level = String(Number((slider.value * slider.dataset.step).toFixed(3)));
        const shown = new Promise((resolve) => {
            const observer = new MutationObserver(() => {
                if (panels.some((panel) => panel.dataset.level !== level)) return;
                observer.disconnect();
                resolve();
            });
            for (const panel of panels) observer.observe(panel, { attributes: true });
        });
        const start = performance.now();
        slider.dispatchEvent(new Event("input"));
        await shown;
        if (i >= 20) times.push(performance.now() - start); // after 20 to warm up
        await new Promise((resolve) => setTimeout(resolve, 30));
    }
    return [times.sort((a, b) => a - b), Math.max(0, ...tasks)];
}"""


def measure(browser: Browser, runs: list[str], moves: int, folder: Path) -> dict[str, object]:
    Page.carried.clear()
    html = noise_explorer(*runs)._repr_mimebundle_()["text/html"]
    path = folder / "page.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><body>{html}', "utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.locator("[data-level]").nth(len(runs) - 1).wait_for(timeout=60_000)
    page.evaluate("document.querySelector('input[type=range]').dataset.step = 0.002")
    times, blocked = page.evaluate(MEASURE, moves)
    page.close()
    row = {"runs": runs, "page_bytes": path.stat().st_size, "longest_task_ms": round(blocked, 1)}
    for name, part in (("median_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        row[name] = round(times[int(part * (len(times) - 1))], 1)
    row["below_33_ms"] = round(sum(t < 33 for t in times) / len(times), 3)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the slider of the noise explorer.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="runs of one data set")
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        print("needs a Chromium", file=sys.stderr)
        return 2
    groups = [[run] for run in options.runs]
    if len(options.runs) > 1:
        groups.append(options.runs)
    rows = []
    with launch(executable) as browser, tempfile.TemporaryDirectory() as folder:
        for group in groups:
            rows.append(measure(browser, group, options.moves, Path(folder)))
            print(rows[-1])
        version = browser.version
    if options.out:
        write_json(
            options.out,
            {
                "command": command(),
                "environment": environment("cpu") | {"browser": version},
                "rows": rows,
            },
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
