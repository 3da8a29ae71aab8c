"""Drawings for a page: their words, colours and identifiers."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from forward_stability.book import figures
from forward_stability.book.drawing import dark_twin


def draw():
    fig, (above, below) = figures.figure(2, 1, width=3, height=4)
    above.plot([0, 1], [0, 1], color=figures.COLOURS["ResNet"], label="0.1234 & <é>")
    above.set(xticks=[0, 0.25], title="$x_1$", facecolor="white")
    above.legend()
    below.imshow(np.eye(4), cmap="gray")
    return fig


def test_words_are_text_and_stay_what_they_are():
    svg = figures.drawing(draw(), "a")
    for words in (">0.25<", ">0.1234 &amp; &lt;é&gt;<"):
        assert words in svg


def test_identifiers_begin_as_told_and_are_all_used():
    svg = figures.drawing(draw(), "a7-")
    defined = re.findall(r' id="([^"]*)"', svg)
    used = re.findall(r'(?:url\(|href=")#([^")]*)', svg)
    assert len(set(defined)) == len(defined) > 2
    assert set(defined) == set(used)
    assert all(name.startswith("a7-") for name in defined)


def test_the_same_figure_gives_the_same_drawing():
    assert figures.drawing(draw(), "a") == figures.drawing(draw(), "a")


def test_pixels_stay_sharp_squares():
    assert "image-rendering:pixelated" in figures.drawing(draw(), "a")


@pytest.mark.parametrize(("cmap", "tinted"), [("PuOr", True), ("RdBu_r", True), ("gray", False)])
def test_images_of_numbers_in_colours_are_told_from_others(cmap, tinted):
    fig, (above, below) = figures.figure(2, 1)
    above.imshow(np.eye(3), cmap=cmap)
    below.imshow(np.full((3, 3, 3), (0.9, 0.2, 0.1)))  # a photograph
    assert figures.drawing(fig, "a").count('class="tinted"') == tinted


@pytest.mark.parametrize("colour", [*figures.COLOURS.values(), "#ffffff", "#7f7f7f"])
def test_a_colour_has_a_twin_of_the_opposite_lightness(colour):
    twin = dark_twin(colour)
    parts = [np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (colour, twin)]
    assert abs(sum(part.max() + part.min() for part in parts) - 2 * 255) <= 2
    assert (np.argsort(parts[0], kind="stable") == np.argsort(parts[1], kind="stable")).all()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_drawing_has_the_ground_and_the_ink_of_its_page(browser, theme):
    ground, ink = {"light": ((255, 255, 255), "#222832"), "dark": ((20, 24, 30), "#ced6dd")}[theme]
    page = browser.new_page(color_scheme=theme)
    page.set_content(
        f"<!doctype html><style>html {{ color-scheme: {theme}; background: rgb{ground}; "
        f"color: {ink} }} svg {{ fill: currentColor }}</style>{figures.drawing(draw(), 'a')}"
    )
    corner = page.screenshot(clip={"x": 9, "y": 9, "width": 1, "height": 1})
    fills = page.eval_on_selector_all("text", "all => all.map(e => getComputedStyle(e).fill)")
    line = page.eval_on_selector_all("path", "all => all.map(e => getComputedStyle(e).stroke)")
    page.close()
    assert tuple(pixel(corner)) == ground
    assert len(set(fills)) == 1
    wanted = figures.COLOURS["ResNet"]
    wanted = wanted if theme == "light" else dark_twin(wanted)
    assert "rgb({}, {}, {})".format(*(int(wanted[i : i + 2], 16) for i in (1, 3, 5))) in line


def pixel(png: bytes):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[0, 0]
