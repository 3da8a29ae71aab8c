"""The figure of chapter 8: its counts are the package's, and its boxes open by every means."""

import re
from pathlib import Path

import pytest
from browser import find_barriers
from playwright.sync_api import Browser, Page, expect
from test_stage import visit

from forward_stability.book import figures
from forward_stability.book.live import Page as LivePage
from forward_stability.book.live.figure import live, still
from forward_stability.models import VARIANTS, Network


def whole(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.mark.parametrize("m", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("variant", VARIANTS)
def test_counts_are_those_of_the_package(variant: str, m: int):
    network = Network(variant, m)
    ends = [0, 1, m + 1, m + 2, 2 * m + 1, 2 * m + 2, 3 * m + 1, 3 * m + 2, 3 * m + 3]
    for box in range(8):
        layers = network.layers[ends[box] : ends[box + 1]]
        expected = sum(p.numel() for p in layers.parameters() if p.requires_grad)
        _, words = still("network", {"variant": VARIANTS[variant], "m": m, "box": box})
        counts = [whole(n) for n in re.findall(r"([\d,]+) parameters", words)]
        assert counts == [expected, network.parameter_count]
        assert f"depth {network.depth} and" in words
        places = re.search(r"\((none|Layers? (\d+)(?: to (\d+))?)\)", words)
        assert places is not None
        first, last = places[2] or ends[box], places[3] or places[2] or ends[box] - 1
        assert (int(first), int(last) + 1) == (ends[box], ends[box + 1])


@pytest.fixture
def page(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(figures.PAGE, "1")
    monkeypatch.setattr(LivePage, "carried", set())
    html = live("network", "Boxes.")._repr_mimebundle_()["text/html"]
    path = tmp_path / "page.html"
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test</title>'
        '<meta name="viewport" content="width=device-width"></head><body><main>'
        f"<h1>Test</h1>{html}</main></body></html>",
        "utf-8",
    )
    page = visit(browser, path, has_touch=True)
    yield page
    page.close()


def opened(page: Page, name: str, count: str) -> None:
    expect(page.locator(".fs-words")).to_contain_text(name)
    expect(page.locator(".fs-words")).to_contain_text(f"{count} parameters")
    pressed = page.locator("[data-button][aria-pressed=true]")
    expect(pressed).to_have_count(1)


def test_mouse_finger_and_keys_open_a_box(page: Page):
    page.get_by_role("button", name="convolution").click()
    opened(page, "convolution (Layer 0)", "464")
    assert page.url.endswith("#network?box=0")
    page.get_by_role("button", name="fully connected").tap()
    opened(page, "fully connected (Layer 11)", "650")
    for key, box, name, count in (
        ("Enter", 4, "2D pooling (Layer 7)", "18,560"),
        ("Space", 5, "2 residual layers (Layers 8 to 9)", "73,984"),
    ):
        page.locator(f"[data-button='0-{box}']").focus()
        page.keyboard.press(key)
        opened(page, name, count)
        assert page.url.endswith(f"#network?box={box}")
    page.get_by_role("button", name="12", exact=True).click()
    opened(page, "11 residual layers (Layers 26 to 36)", "406,912")
    assert find_barriers(page) == []
