"""Figures: their size, and what a page and a kernel are given of them."""

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


def test_a_figure_has_130_dots_an_inch():
    assert figures.picture(draw()).size == (260, 130)
    _, axes = figures.figure(2, 3, sharex=True)
    assert axes.shape == (2, 3)


def test_a_kernel_is_given_a_picture_with_its_text(displayed):
    figures.show(draw(), "A line <from> 0 to 1")
    (((data, more)),) = displayed
    assert data["text/plain"] == "<figure: A line <from> 0 to 1>"
    assert "text/html" not in data
    assert more["metadata"] == {"image/png": {"alt": "A line <from> 0 to 1"}}
    assert (decoded(data["image/png"]) == np.asarray(figures.picture(draw()))).all()


def test_a_page_is_given_the_same_picture_without_loss(displayed, monkeypatch):
    monkeypatch.setenv(figures.PAGE, "1")
    figures.show(draw(), 'A "line"')
    ((data, _),) = displayed
    html = data["text/html"]
    assert 'alt="A &quot;line&quot;"' in html
    assert 'width="260" height="130"' in html
    content = html.split("data:image/webp;base64,")[1].split('"')[0]
    assert (decoded(content) == np.asarray(figures.picture(draw()))).all()


def test_a_figure_without_text_is_refused(displayed):
    with pytest.raises(InputError, match="alt must say"):
        figures.show(draw(), " ")
    assert displayed == []
