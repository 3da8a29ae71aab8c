"""Figures: their size and their text, and what a page and a kernel are given of them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from forward_stability.book import figures
from forward_stability.errors import InputError


@pytest.fixture
def displayed(monkeypatch):
    """What is displayed: the bundles and their metadata."""
    shown = []
    monkeypatch.setattr(figures, "display", lambda data, **more: shown.append((data, more)))
    return shown


def draw():
    fig, ax = figures.figure(width=2, height=1)
    ax.plot([0, 1])
    return fig


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def test_a_picture_has_two_dots_for_each_pixel_of_css():
    fig = draw()
    assert figures.page_size(fig) == (220, 110)
    assert figures.picture(fig).size == (440, 220)
    _, axes = figures.figure(2, 3, sharex=True)
    assert axes.shape == (2, 3)


def test_a_kernel_is_given_a_picture_with_its_text(displayed):
    figures.show(draw(), "A line <from> 0 to 1")
    (((data, more)),) = displayed
    assert data["text/plain"] == "<figure: A line <from> 0 to 1>"
    assert "text/html" not in data
    about = {"alt": "A line <from> 0 to 1", "width": 220, "height": 110}
    assert more["metadata"] == {"image/png": about}
    stored, drawn = decoded(data["image/png"]), np.asarray(figures.picture(draw()))
    assert stored.shape == drawn.shape
    assert np.abs(stored.astype(int) - drawn).max() <= 8  # of 255: 256 colours are kept


def test_a_page_is_given_a_vector_drawing_with_its_text(displayed, monkeypatch):
    monkeypatch.setenv(figures.PAGE, "1")
    figures.show(draw(), 'A "line"')
    ((data, _),) = displayed
    html = data["text/html"]
    assert 'role="img" aria-label="A &quot;line&quot;" style="width: 220px"><svg' in html
    assert "<image" not in html


@pytest.mark.parametrize("width", [2.0, 5.2, 7.0])
def test_no_text_is_smaller_than_11_pixels_on_a_phone(browser, width):
    fig, ax = figures.figure(width=width, height=3)
    ax.plot([1, 1000], [0, 1], label="a line")
    ax.set(xscale="log", title="a title", xlabel="x")
    ax.text(10, 0.5, "small", fontsize=5)
    ax.tick_params(labelsize=6)
    ax.legend(fontsize="x-small")
    page = browser.new_page(viewport={"width": figures.PHONE, "height": 740})
    shown = min(figures.PHONE, figures.page_size(fig)[0])
    page.set_content(
        f"<!doctype html><body style='margin: 0; width: {shown}px'>{figures.drawing(fig, 'a')}"
    )
    sizes = page.evaluate("""() => [...document.querySelectorAll("text")].map((e) => {
        const parts = e.children.length ? [...e.children] : [e];
        const points = Math.max(...parts.map((p) => parseFloat(getComputedStyle(p).fontSize)));
        return points * e.getScreenCTM().d;
    })""")
    page.close()
    assert len(sizes) > 5
    assert min(sizes) > figures.LEAST - 0.1  # sizes are rounded to a tenth of a point


def test_a_figure_without_text_is_refused(displayed):
    with pytest.raises(InputError, match="alt must say"):
        figures.show(draw(), " ")
    assert displayed == []
