"""The feature explorer in the browser: what it shows are PyTorch's features."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from browser import find_barriers, set_colours
from explorer_page import explorer_page
from playwright.sync_api import Browser, Locator, Page, expect

from forward_stability.book.live.features_explorer import features_explorer
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.runs import Run

RUNS = ["digits-D-m3-seed0", "digits-S-m3-seed0"]
PATIENCE = 30_000  # milliseconds, on a busy machine


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory) -> Iterator[Page]:
    """A page opened from a file, without a kernel."""
    folder = tmp_path_factory.mktemp("page")
    with explorer_page(browser, folder, lambda: features_explorer(*RUNS)) as page:
        page.locator("[data-shown]").first.wait_for(timeout=PATIENCE)
        yield page


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def slide(page: Page, name: str, position: int) -> None:
    slider = page.get_by_role("slider", name=name)
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(position):
        page.keyboard.press("ArrowRight")


def pixels(canvas: Locator) -> np.ndarray:
    """The grey levels of a canvas, 0 to 255; NaN where it is transparent."""
    width, height, data = canvas.evaluate(
        """shown => {
            const { width, height } = shown;
            const copy = new OffscreenCanvas(width, height);
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(shown, 0, 0);
            return [width, height, [...context.getImageData(0, 0, width, height).data]];
        }"""
    )
    rgba = np.array(data, dtype=float).reshape(height, width, 4)
    assert (rgba[..., 0] == rgba[..., 1]).all()
    assert (rgba[..., 0] == rgba[..., 2]).all()
    return np.where(rgba[..., 3] > 0, rgba[..., 0], np.nan)


def greys(x: torch.Tensor, scaled_by: torch.Tensor) -> np.ndarray:
    largest = scaled_by.abs().max().clamp(min=1e-12)
    signed = bool((scaled_by < 0).any())
    return 255 * (0.5 + x / (2 * largest) if signed else x / largest).numpy()


@pytest.mark.parametrize("variant", ["D", "S"])
@pytest.mark.parametrize(
    ("image", "layer", "channel"), [(0, 0, 0), (3, 1, 5), (8, 4, 15), (8, 7, 31), (19, 10, 63)]
)
def test_features_are_those_of_pytorch(page: Page, digits, variant, image, layer, channel):
    picture = page.get_by_label("Image", exact=True)
    picture.select_option(index=image)
    title = picture.locator("option").nth(image).text_content() or ""
    index = int(re.findall(r"\d+", title)[-1])
    slide(page, "Layer", layer)
    slide(page, "Channel", channel)
    panel = page.locator(f"[data-variant='{variant}'][data-shown='{layer}/{channel}']")
    expect(page.locator(".fs-top canvas")).to_have_attribute("aria-label", title, timeout=PATIENCE)
    expect(panel).to_have_count(1)

    network = Run(f"digits-{variant}-m3-seed0").network().double()
    with torch.no_grad():
        x = network.features(scale(digits.test_images[index : index + 1]).double())
    f, (d, h, w) = x[layer][0], x[layer].shape[1:]
    caption = panel.locator("figcaption").text_content() or ""
    low, high, zeros = (float(z) for z in re.findall(r"-?\d+\.?\d*", caption.split(":")[1]))
    assert low == pytest.approx(float(f[channel].min()), abs=0.006)
    assert high == pytest.approx(float(f[channel].max()), abs=0.006)
    assert zeros == pytest.approx(100 * float((f[channel] == 0).double().mean()), abs=0.6)
    best = int(x[-1][0].argmax())
    assert (panel.locator("strong").text_content() or "").startswith(f"{best}, ")

    sheet = pixels(panel.locator(".fs-sheet"))
    columns = min(d, 8)
    assert sheet.shape == (-(-d // columns) * (h + 1) - 1, columns * (w + 1) - 1)
    for c in range(d):
        top, left = c // columns * (h + 1), c % columns * (w + 1)
        tile = sheet[top : top + h, left : left + w]
        np.testing.assert_allclose(tile, greys(f[c], f), rtol=0, atol=0.7)
    single = pixels(panel.locator("figure canvas"))
    np.testing.assert_allclose(single, greys(f[channel], f[channel]), rtol=0, atol=0.7)


def test_a_click_chooses_a_channel(page: Page):
    slide(page, "Layer", 1)
    sheet = page.locator(".fs-sheet").first
    box = sheet.bounding_box()
    assert box is not None
    sheet.click(position={"x": box["width"] * 2.5 / 8, "y": box["height"] * 0.75})
    expect(page.locator("[data-shown='1/10']")).to_have_count(2)
    assert page.get_by_role("slider", name="Channel").input_value() == "10"


def test_the_chosen_channel_is_outlined(page: Page):
    for layer, channel, columns in ((0, 0, 1), (1, 10, 8), (5, 31, 8)):
        slide(page, "Layer", layer)
        slide(page, "Channel", channel)
        for panel in page.locator(".fs-panel").all():
            sheet, outline = (
                panel.locator(part).bounding_box() for part in (".fs-sheet", ".fs-outline")
            )
            assert sheet is not None
            assert outline is not None
            tile = (sheet["width"]) / columns
            centre = outline["x"] + outline["width"] / 2 - sheet["x"]
            assert int(centre / tile) == channel % columns
            assert outline["width"] == pytest.approx(tile, rel=0.06)
            middle = outline["y"] + outline["height"] / 2 - sheet["y"]
            assert int(middle / outline["height"]) == channel // columns


def test_a_layer_with_fewer_channels_shows_its_last(page: Page):
    slide(page, "Layer", 10)
    slide(page, "Channel", 40)
    for layer, channel in ((4, 15), (7, 31), (8, 40)):
        slide(page, "Layer", layer)
        expect(page.locator(f"[data-shown='{layer}/{channel}']")).to_have_count(2)


def test_a_screen_reader_hears_what_is_shown(page: Page):
    slide(page, "Layer", 5)
    slide(page, "Channel", 2)
    layer = page.get_by_role("slider", name="Layer")
    assert layer.get_attribute("aria-valuetext") == "x⁵, after layer 4, pooling"
    channel = page.get_by_role("slider", name="Channel")
    assert channel.get_attribute("aria-valuetext") == "3 of 32, 16×16 pixels"
    expect(page.get_by_role("status")).to_have_text(
        re.compile(r"^x⁵, after layer 4, pooling\. ResNet-D, m = 3: channel 3: .* ResNet-S, .*$"),
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(page: Page, dark: bool):
    set_colours(page, dark)
    roots = page.locator(".fs-live" + ("[data-dark]" if dark else ":not([data-dark])"))
    expect(roots).to_have_count(1)
    assert find_barriers(page, ".fs-live") == []


def test_it_fits_a_phone(page: Page):
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.scrollingElement.scrollWidth") == 360
    page.set_viewport_size({"width": 1000, "height": 900})


def test_in_a_kernel_nothing_is_stored_but_text():
    bundle, _ = features_explorer(*RUNS)._repr_mimebundle_()
    assert bundle["text/plain"] == (
        "<feature explorer: ResNet-D, m = 3, ResNet-S, m = 3, trained on digits>"
    )
    assert len(str(bundle)) < 1000
