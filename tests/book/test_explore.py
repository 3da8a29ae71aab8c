"""A slider in a kernel and the same slider on a page show the same pictures."""

import base64
import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forward_stability.book import figures
from forward_stability.book.explore import Explorer, Frames, explore
from forward_stability.errors import InputError

VALUES = {"rate": [0.5, 1.0, 2.0, 4.0], "kind": ["sine", "noise"]}
X = np.linspace(0, 6, 200)
NOISE = np.random.default_rng(0).normal(size=X.size)


def draw(rate, kind):
    fig, ax = figures.figure(width=3, height=2)
    ax.plot(X, np.sin(rate * X) if kind == "sine" else rate * NOISE)
    ax.set(ylim=(-4, 4), title=f"{kind}, {rate:g}")
    return fig


def make(**options):
    return explore(draw, alt=lambda rate, kind: f"{kind} at {rate}", **options, **VALUES)


def on_page(monkeypatch, **options):
    monkeypatch.setenv(figures.PAGE, "1")
    return make(**options)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=float)


def frames_of(explorer: Frames) -> list[dict[str, str]]:
    html = explorer._repr_mimebundle_()["text/html"]
    content = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert content is not None
    return json.loads(content[1])


def test_kernel_and_page_show_the_same_pictures(monkeypatch, browser):
    """Each frame of the page is nearest to the picture that a kernel draws for the same values."""
    live, page = make(), on_page(monkeypatch)
    assert isinstance(live, Explorer)
    assert isinstance(page, Frames)
    frames, combinations = frames_of(page), list(itertools.product(*VALUES.values()))
    assert len(frames) == len(combinations)
    tab = browser.new_page(viewport={"width": page.width, "height": 400}, device_scale_factor=2)
    drawn, shown = [], []
    for frame, (rate, kind) in zip(frames, combinations, strict=True):
        live.controls["rate"].value = rate
        live.controls["kind"].value = kind
        drawn.append(pixels(live.image.value))
        tab.set_content(f"<!doctype html><body style='margin: 0'>{frame['svg']}")
        shown.append(pixels(tab.locator("svg").screenshot()))
        assert shown[-1].shape == drawn[-1].shape
        assert frame["alt"] == f"{kind} at {rate}"
    tab.close()
    for i, one in enumerate(shown):
        distances = [np.abs(one - other).mean() for other in drawn]
        assert np.argmin(distances) == i
        assert distances[i] < 6  # of 255: the letters of another font, and smooth edges


def test_frames_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr("forward_stability.book.explore.BUDGET", 1000)
    with pytest.raises(InputError, match="give fewer values"):
        on_page(monkeypatch)


def test_controls_start_where_told(monkeypatch):
    start = {"rate": 2.0, "kind": "noise"}
    assert make(start=start).selected == start
    html = on_page(monkeypatch, start=start)._repr_mimebundle_()["text/html"]
    assert 'aria-label="noise at 2.0"' in html
    assert 'max="3" value="2"' in html
    assert '<option value="1" selected>noise' in html


def test_a_stored_explorer_carries_its_current_picture():
    live = make()
    live.controls["rate"].value = 4.0
    bundle = live._repr_mimebundle_()
    assert bundle["text/plain"] == "<explorer: sine at 4.0>"
    expected = np.asarray(figures.picture(draw(4.0, "sine")), dtype=float)
    np.testing.assert_array_equal(pixels(base64.b64decode(bundle["image/png"])), expected)


def test_labels_are_escaped_and_bound_to_their_controls(monkeypatch):
    html = on_page(monkeypatch, labels={"rate": "rate < 5"})._repr_mimebundle_()["text/html"]
    label = re.search(r'<label for="([^"]+)">rate &lt; 5</label>', html)
    assert label is not None
    assert f'<input id="{label[1]}" type="range"' in html


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "at least one argument"),
        ({"rate": [1.0]}, "at least two values for 'rate'"),
        ({"rate": [1.0, 2.0], "start": {"rate": 3.0}}, "start of 'rate' is 3.0"),
        ({"rate": [1.0, 2.0], "labels": {"speed": "x"}}, r"no argument named \['speed'\]"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(InputError, match=message):
        explore(draw, alt="a wave", **options)


@pytest.mark.parametrize("scripts", [True, False])
def test_controls_that_nothing_moves_are_not_shown(monkeypatch, browser, scripts):
    html = on_page(monkeypatch)._repr_mimebundle_()["text/html"]
    css = (Path(__file__).parents[2] / "book" / "_static" / "book.css").read_text("utf-8")
    page = browser.new_page(java_script_enabled=scripts)
    page.set_content(f"<!doctype html><style>{css}</style>{html}")
    sentence = page.get_by_text("The controls of this figure need scripts, which do not run here.")
    assert sentence.is_visible() is not scripts
    assert page.get_by_role("slider").is_visible() is scripts
    assert page.get_by_role("img").is_visible()
    page.close()


def test_two_figures_of_a_page_share_no_identifier(monkeypatch, browser):
    html = "".join(on_page(monkeypatch)._repr_mimebundle_()["text/html"] for _ in range(2))
    page = browser.new_page()
    page.set_content(f"<!doctype html>{html}")
    names = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    page.close()
    assert len(set(names)) == len(names) > 10


def test_a_slider_is_seen_with_forced_colours(monkeypatch, browser):
    """Its track and its thumb have a colour that its surroundings do not have."""
    html = on_page(monkeypatch)._repr_mimebundle_()["text/html"]
    css = (Path(__file__).parents[2] / "book" / "_static" / "book.css").read_text("utf-8")
    page = browser.new_page(forced_colors="active")
    page.set_content(f"<!doctype html><style>{css}</style>{html}")
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    slider.evaluate("e => e.blur()")
    shown = pixels(slider.screenshot())
    page.close()
    background = shown[0, -1]
    seen = (np.abs(shown - background) > 100).any(axis=2)
    track, thumb = seen[:, 40:-4], seen[:, 2:20]
    assert track.any(axis=0).all()
    assert 4 <= track.sum(axis=0).max() <= 8
    assert thumb.sum(axis=0).max() >= 20
