"""The attack explorer in the browser, from a file: it draws, certifies and attacks."""

from collections.abc import Iterator

import pytest
import torch
from browser import find_barriers, set_colours
from explorer_page import explorer_page
from playwright.sync_api import Browser, Locator, Page, expect
from sklearn.datasets import load_digits

from forward_stability.book.live.attack_explorer import attack_explorer
from forward_stability.book.page_certificate import certified_export, certify_run
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.runs import Run
from forward_stability.folding import forward

RUNS = "digits-S-m2-theorem-seed0", "digits-S-m3-seed0"
PATIENCE = 60_000  # milliseconds, on a busy machine


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory) -> Iterator[Page]:
    """A page opened from a file."""
    folder = tmp_path_factory.mktemp("page")
    with explorer_page(browser, folder, lambda: attack_explorer(*RUNS)) as page:
        page.locator("[data-shown]").nth(1).wait_for(timeout=PATIENCE)
        yield page


@pytest.fixture
def panels(page: Page) -> list[Locator]:
    """The panels of the two networks, with the first image as it is and the slider inside R."""
    choose(page, 0)
    slide(page, 19)
    page.get_by_role("button", name="Start over").click()
    found = page.locator(".fs-panel")
    for at in range(2):
        expect(found.nth(at)).to_have_attribute("data-shown", "0", timeout=PATIENCE)
        expect(found.nth(at)).to_have_attribute("data-beyond", "0 0", timeout=PATIENCE)
    return [found.nth(0), found.nth(1)]


def choose(page: Page, index: int) -> None:
    page.get_by_label("Image", exact=True).select_option(index=index)


def slide(page: Page, position: int) -> None:
    """Puts the distance at position / 20 radii."""
    page.get_by_role("slider").evaluate(
        "(e, to) => { e.value = to; e.dispatchEvent(new Event('input')); }", str(position)
    )


def attack(page: Page) -> None:
    page.get_by_role("button", name="Attack by gradients").click()
    page.get_by_role("button", name="Stop").wait_for(state="detached", timeout=PATIENCE)


def number(panel: Locator, name: str) -> float:
    return float(panel.get_attribute(f"data-{name}") or "nan")


def tally(panel: Locator, name: str) -> list[int]:
    return [int(z) for z in (panel.get_attribute(f"data-{name}") or "").split()]


def test_the_radius_is_that_of_python(page: Page):
    certified, certificate = certified_export(Run(RUNS[0])), certify_run(Run(RUNS[0]))
    dataset = load_dataset("digits")
    panel = page.locator(".fs-panel").first
    for index in (0, 5, 12):
        choose(page, index)
        at = int((dataset.test_labels == index // 2).nonzero()[index % 2, 0])
        x = scale(dataset.test_images[at : at + 1]).double()
        x -= certified.tensors["mean"].double()
        y = forward(certified.layers, x)
        expected = float(certificate.radii(y, x.flatten(1).norm(dim=1) * (1 + 1e-12)))
        page.wait_for_function(
            "r => Math.abs(document.querySelector('.fs-panel').dataset.radius - r) < 1e-7",
            arg=expected,
            timeout=PATIENCE,
        )
        # The pixels are divided by 255 in float32 in Python.
        assert number(panel, "radius") == pytest.approx(expected, abs=1e-7)


def test_inside_the_radius_no_attack_succeeds_and_the_other_network_falls(page: Page, panels):
    certified, ordinary = panels
    attack(page)
    tries, found = tally(certified, "inside")
    assert tries >= 1000
    assert found == 0
    assert tally(certified, "beyond") == [0, 0]
    R, moved = number(certified, "radius"), number(certified, "shown")
    assert 0.5 * R < moved < R
    assert certified.get_attribute("data-answer") == certified.get_attribute("data-clean")
    expect(certified).to_contain_text("as before: certain")
    expect(certified).to_contain_text(f"Inside R: {tries:,} tries, 0 successful")
    assert tally(ordinary, "beyond")[1] == 1
    assert number(ordinary, "shown") < R
    assert ordinary.get_attribute("data-answer") != ordinary.get_attribute("data-clean")
    expect(ordinary).to_contain_text("nothing is certified")
    expect(ordinary).to_contain_text("has become")


def test_beyond_the_radius_an_attack_succeeds_and_says_how_far(page: Page, panels):
    certified, _ = panels
    slide(page, 60)
    attack(page)
    assert tally(certified, "beyond")[1] == 1
    R, moved = number(certified, "radius"), number(certified, "shown")
    assert R < moved <= 3 * R
    expect(certified).to_contain_text(f"the first at {moved:.3g} = {moved / R:.2f} R")
    slide(page, 0)
    expect(certified).to_have_attribute("data-shown", "0", timeout=PATIENCE)


def test_an_attack_can_be_stopped(page: Page, panels):
    page.get_by_role("button", name="Attack by gradients").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Attack by gradients")).to_be_visible()
    page.wait_for_timeout(1000)
    assert tally(panels[0], "inside")[0] < 1000


def test_the_brush_is_scaled_into_the_ball(page: Page, panels):
    certified, ordinary = panels
    box = certified.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"], steps=15)
    page.mouse.up()
    R = number(certified, "radius")
    for panel in (certified, ordinary):
        page.wait_for_function(
            "e => Number(e.dataset.shown) > 0", arg=panel.element_handle(), timeout=PATIENCE
        )
    page.wait_for_timeout(500)
    moved = number(certified, "shown")
    assert 0.3 * R < moved <= 0.95 * R
    tries, found = tally(certified, "inside")
    assert tries >= 1
    assert found == 0


def test_the_brush_follows_the_keyboard(page: Page, panels):
    canvas = panels[0].locator("canvas")
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("+")
    expect(panels[0]).not_to_have_attribute("data-shown", "0", timeout=PATIENCE)
    inked = number(panels[0], "shown")
    page.keyboard.press("-")
    expect(panels[0]).to_have_attribute("data-shown", "0", timeout=PATIENCE)
    assert 0 < inked <= number(panels[0], "radius")


def test_a_digit_is_drawn_and_certified(page: Page, panels):
    """A one, with the mouse and with the keyboard; it is an image of the data set's kind."""
    certified, _ = panels
    choose(page, 20)
    pad = page.locator(".fs-picture canvas")
    expect(pad).to_have_attribute("role", "application")
    box = pad.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=15)
    page.mouse.up()
    expect(certified).to_have_attribute("data-clean", "1", timeout=PATIENCE)
    page.wait_for_function(
        "() => Number(document.querySelector('.fs-panel').dataset.radius) > 0.05", timeout=PATIENCE
    )
    attack(page)
    tries, found = tally(certified, "inside")
    assert tries >= 1000
    assert found == 0
    page.get_by_role("button", name="Start over").click()
    pixels = """canvas => {
        const copy = new OffscreenCanvas(32, 32).getContext("2d", {willReadFrequently: true});
        copy.drawImage(canvas, 0, 0);
        return [...copy.getImageData(0, 0, 32, 32).data].filter((_, i) => i % 4 == 0);
    }"""
    assert max(pad.evaluate(pixels)) == 0
    pad.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("+")
    assert max(pad.evaluate(pixels)) > 200
    page.keyboard.press("-")
    assert max(pad.evaluate(pixels)) == 0


def test_a_drawn_digit_is_enlarged_as_those_of_the_data_set(browser: Browser):
    from engine_page import decode, numbers

    from forward_stability.book.live.compose import compose

    page = browser.new_page()
    script = (
        'import { enlarged } from "./digit_pad.js";\nObject.assign(globalThis, { enlarged });\n'
    )
    page.add_script_tag(content=compose("pad", {"pad": script}))
    small = torch.from_numpy(load_digits().images[:5]).double()  # type: ignore[union-attr]
    found = page.evaluate(
        """all => all.map(s => {
            const bytes = Uint8Array.from(atob(s), (c) => c.charCodeAt(0)).buffer;
            const out = new Uint8Array(enlarged(new Float64Array(bytes)).buffer);
            let text = "";
            for (const byte of out) text += String.fromCharCode(byte);
            return btoa(text);
        })""",
        [numbers(image / 16) for image in small],
    )
    page.close()
    dataset = load_dataset("digits")
    known = torch.cat([dataset.train_images, dataset.test_images]).flatten(1).double() / 255
    for text in found:
        apart = (known - decode(text)).abs().amax(1).min()
        assert apart <= 0.5 / 255 + 1e-9


@pytest.mark.parametrize("dark", [False, True])
def test_a_keyboard_and_a_screen_reader_are_enough(page: Page, panels, dark):
    set_colours(page, dark)
    assert find_barriers(page, "main") == []
    set_colours(page, False)


def test_on_a_phone_nothing_is_cut_off_and_nothing_jumps(page: Page, panels):
    page.set_viewport_size({"width": 360, "height": 740})
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= 360
    height = page.locator(".fs-attack").evaluate("e => e.offsetHeight")
    slide(page, 60)
    attack(page)
    assert page.locator(".fs-attack").evaluate("e => e.offsetHeight") == height
    assert page.evaluate(wide) <= 360
    page.set_viewport_size({"width": 1000, "height": 900})
