"""Live figures in a browser: mouse, finger and keys move them; the address keeps their state."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import find_barriers, set_colours
from playwright.sync_api import Browser, Locator, Page, expect
from test_live import FIGURES

from forward_stability.book import figures
from forward_stability.book.live import Page as LivePage
from forward_stability.book.live import modules, style
from forward_stability.book.live.figure import live, still

NAMES = [name.removeprefix("figure_") for name in FIGURES]
ALT = "What a test shows."

CUT = """all => all.filter(e => {
    const drawing = e.ownerSVGElement, whole = drawing.getBoundingClientRect();
    const scale = whole.width / drawing.viewBox.baseVal.width, box = e.getBoundingClientRect();
    const clip = e.closest("[clip-path]")?.getAttribute("clip-path").slice(5, -1);
    const { x, width } = clip ? document.getElementById(clip).firstElementChild : drawing;
    const left = whole.left + (clip ? scale * x.baseVal.value : 0);
    return box.left < left - 1 || box.right > left + scale * width.baseVal.value + 1;
}).map(e => e.textContent)"""
"""The texts that are cut off at a side, by the drawing or by the plot that they stand in."""


@pytest.fixture(scope="module", params=NAMES)
def place(request, tmp_path_factory) -> tuple[str, Path]:
    """The name of a figure, and a page from a file with it alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(figures.PAGE, "1")
        patch.setattr(LivePage, "carried", set())
        html = live(request.param, ALT)._repr_mimebundle_()["text/html"]
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test</title>'
        '<meta name="viewport" content="width=device-width"></head>'
        '<body style="margin: 16px"><main>'
        f"<h1>Test</h1>{html}</main></body></html>",
        "utf-8",
    )
    return request.param, path


def visit(browser: Browser, path: Path, address: str = "", **options) -> Page:
    page = browser.new_page(**{"viewport": {"width": 800, "height": 900}} | options)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri() + address)
    page.locator(".fs-stage .fs-words").wait_for()
    page.on("close", lambda: None if not complaints else pytest.fail(str(complaints)))
    return page


@pytest.fixture(scope="module")
def page(browser: Browser, place: tuple[str, Path]) -> Iterator[Page]:
    page = visit(browser, place[1], has_touch=True)
    yield page
    page.close()


def seen(page: Page) -> tuple[str, str]:
    """The picture and the sentence, after the next frame."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    picture = page.locator("svg").evaluate(
        """drawing => JSON.stringify([...drawing.querySelectorAll("*")].map(e =>
            [e.tagName, e.textContent, ...[...e.attributes].map(a => a.name + a.value).sort()]))"""
    )
    return picture, page.locator(".fs-words").inner_text()


def centre(handle: Locator) -> tuple[float, float]:
    box = handle.locator(".grip").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_page_begins_with_its_still_picture(place: tuple[str, Path], browser: Browser):
    name, path = place
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    picture = page.locator(".fs-still svg")
    assert page.get_by_role("img", name=ALT).count() == 1
    assert len(picture.locator("path, circle").all()) > 3
    assert page.locator(".fs-still p").inner_text() == still(name, {})[1]
    context.close()


def test_mouse_finger_and_keys_move_every_handle(page: Page):
    for handle in page.locator("[data-handle]").all():
        for way in ("mouse", "finger", "keys"):
            before, address = seen(page), page.url
            x, y = centre(handle)
            right = x < 400
            if way == "keys":
                handle.focus()
                for _ in range(3):
                    page.keyboard.press("ArrowRight" if right else "ArrowLeft")
                    page.keyboard.press("ArrowUp")
            elif way == "mouse":
                page.mouse.move(x, y)
                page.mouse.down()
                page.mouse.move(x + (25 if right else -25), y - 20, steps=3)
                page.mouse.up()
            else:
                drag_by_finger(page, (x, y), (x + (30 if right else -30), y + 25))
            after = seen(page)
            assert after[0] != before[0], (way, handle.get_attribute("aria-label"))
            assert page.url != address, way
            assert re.search(r"\d", handle.get_attribute("aria-valuetext") or "")


def drag_by_finger(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    session = page.context.new_cdp_session(page)
    for kind, points in (("touchStart", [start]), ("touchMove", [end]), ("touchEnd", [])):
        touches = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    session.detach()


def test_every_dial_moves_the_figure(page: Page):
    for slider in page.locator("input[type=range]").all():
        before = seen(page)
        slider.focus()
        page.keyboard.press("Home")
        first = seen(page)
        page.keyboard.press("PageUp")
        page.keyboard.press("PageUp")
        assert len({before, first, seen(page)}) > 1
        assert slider.get_attribute("aria-valuetext")
    for button in page.locator(".fs-marks button").all():
        button.click()
        seen(page)
        reading = button.locator("xpath=../preceding-sibling::output")
        assert reading.inner_text() == button.inner_text()
    for player in page.locator(".fs-player").all():
        player.get_by_role("button", name="Reset").click()
        before = seen(page)
        player.get_by_role("button", name="Step").click()
        assert seen(page) != before
        player.get_by_role("button", name="Play").click()
        player.get_by_role("button", name="Pause").click()


def test_the_address_restores_the_state(page: Page, browser: Browser, place: tuple[str, Path]):
    name, path = place
    page.locator("[data-handle], input[type=range]").first.focus()
    page.keyboard.press("ArrowLeft")
    seen(page)
    address = page.url.partition("#")[2]
    assert address.startswith(f"{name}?")
    other = visit(browser, path, f"#{address}")
    assert seen(other) == seen(page)
    other.evaluate("name => { location.hash = `#${name}?` }", name)
    fresh = visit(browser, path)
    assert seen(other) == seen(fresh)
    fresh.close()
    other.evaluate("name => { location.hash = `#${name}?nonsense=1&x=a,b&tau=NaN` }", name)
    seen(other)
    other.close()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_barrier_and_nothing_too_wide_or_too_small(page: Page, width: int, dark: bool):
    page.set_viewport_size({"width": width, "height": 800})
    set_colours(page, dark)
    seen(page)
    assert find_barriers(page) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    sizes = page.eval_on_selector_all(
        "svg text",
        """all => all.map(e => {
            const drawing = e.ownerSVGElement;
            const scale = drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width;
            return scale * parseFloat(getComputedStyle(e).fontSize);
        })""",
    )
    assert min(sizes) >= 11
    assert page.eval_on_selector_all("svg text", CUT) == []


def test_links_of_the_text_set_a_situation(page: Page, place: tuple[str, Path]):
    name, _ = place
    page.evaluate(
        "name => { const a = document.createElement('a'); a.href = `#${name}?`; "
        "a.textContent = 'start'; document.querySelector('main').append(a) }",
        name,
    )
    page.get_by_role("link", name="start").click()
    seen(page)
    expect(page.locator(".fs-words")).to_have_text(still(name, {})[1])


def test_in_a_kernel_python_sees_the_state_and_has_a_still_picture(place: tuple[str, Path]):
    widget = live(place[0], ALT)
    data, _ = widget._repr_mimebundle_()
    assert data["image/svg+xml"].startswith("<svg ")
    assert ALT in data["text/plain"]
    assert "state" in widget.get_state()


def test_two_figures_of_a_page_share_modules_but_not_what_clips_them(
    browser: Browser, tmp_path: Path
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(figures.PAGE, "1")
        patch.setattr(LivePage, "carried", set())
        two = [live(name, ALT)._repr_mimebundle_()["text/html"] for name in ("bowl", "only")]
        path = tmp_path / "page.html"
        path.write_text(f'<!doctype html><meta charset="utf-8">{"".join(two)}', "utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.locator(".fs-words").nth(1).wait_for()
    names = page.eval_on_selector_all("clipPath", "all => all.map(e => e.id)")
    assert len(set(names)) == len(names) == 4
    carried = page.eval_on_selector_all("script[data-live]", "all => all.map(s => s.textContent)")
    assert set(carried) == {*modules("figure_bowl"), *modules("figure_only"), style()}
    assert len(set(carried)) == len(carried)
    page.close()
