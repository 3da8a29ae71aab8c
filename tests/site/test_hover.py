"""Pointing at a reference of the built book, or stepping to it by keyboard, shows what it means."""

import re
from collections.abc import Iterator

import pytest
from browser import SITE, open_page, serve
from playwright.sync_api import Browser, Locator, expect
from visits import Visit, show_everything

# For each page, references on it and what their previews say.
REFERENCES = {
    "09_resnet_d_network": {"a.internal[href='#equation-eq-21']": ["(21)"]},
    "04_growth": {
        "a[href$='#thm-1']": ["Theorem 1", "measurable", "integrable"],
        "a.internal[href$='#prop-sharp-2']": ["Proposition 4.2"],
        "a[href$='#term-growth-bound']": ["growth bound", "by the input and the biases"],
        "a[href^='references.html#']:text-is('2003')": ["Dragomir", "2003"],
    },
    # a page without formulas of its own
    "paper_map": {"a[href$='#equation-eq-8']": ["(8)"], "a[href$='#lem-1']": ["Lemma 1"]},
}


@pytest.fixture(scope="module", params=["site", "file"])
def book(request) -> Iterator[str]:
    """The address of the folder of chapters, on a server and on the disk."""
    if request.param == "file":
        yield f"{SITE.as_uri()}/book"
    else:
        with serve() as address:
            yield f"{address}/book"


@pytest.fixture(scope="module", params=REFERENCES)
def visit(request, browser: Browser, book: str) -> Iterator[Visit]:
    visit = Visit(browser, request.param, f"{book}/{request.param}.html")
    show_everything(visit.page)
    yield visit
    visit.context.close()


@pytest.fixture(scope="module")
def growth(browser: Browser) -> Iterator[Visit]:
    visit = Visit(browser, "04_growth", f"{SITE.as_uri()}/book/04_growth.html")
    yield visit
    visit.context.close()


def preview_of(visit: Visit) -> Locator:
    return visit.page.locator("#preview")


def point_at(link: Locator) -> None:
    """Rest the pointer on a reference, once more if a figure that loads has pushed it away."""
    preview = link.page.locator("#preview")
    for attempt in range(3):
        link.hover()
        try:
            expect(preview).to_be_visible()
        except AssertionError:
            if attempt == 2:
                raise
            link.page.mouse.move(0, 0)
        else:
            return


def check_place(link: Locator, preview: Locator) -> None:
    """A preview stands inside the window, below its reference or above it."""
    at, box = link.bounding_box(), preview.bounding_box()
    assert at is not None
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1280
    below = at["y"] + at["height"] <= box["y"] <= at["y"] + at["height"] + 10
    above = at["y"] - 10 <= box["y"] + box["height"] <= at["y"]
    assert below or above


def test_pointing_shows_what_is_meant(visit: Visit):
    preview = preview_of(visit)
    for reference, texts in REFERENCES[visit.name].items():
        link = visit.page.locator(f"article {reference}").first
        expect(preview).to_have_count(0)
        point_at(link)
        for text in texts:
            expect(preview).to_contain_text(text)
        formulas = preview.locator("mjx-container")
        assert formulas.count() == preview.locator(".math").count()
        assert (formulas.count() > 0) == ("references.html" not in reference)
        assert preview.locator("mjx-merror").count() == 0
        assert "\\" not in preview.inner_text()
        check_place(link, preview)
        visit.page.mouse.move(0, 0)
        expect(preview).to_have_count(0)
    assert visit.complaints == []


def test_the_preview_of_an_equation_is_the_equation(visit: Visit):
    link = visit.page.locator("article a.internal[href^='#equation-']").first
    if link.count() == 0:
        return
    point_at(link)
    original = visit.page.locator(f"article {link.get_attribute('href')} math")
    assert preview_of(visit).locator("math").inner_html() == original.inner_html()
    visit.page.mouse.move(0, 0)


def test_every_reference_to_an_item_has_a_preview(visit: Visit):
    """On the paper map they are of all kinds; figures and tables have no preview."""
    missing = visit.page.evaluate("""() => {
        const root = new URL("..", location.href).href;
        return [...document.querySelectorAll(".paper-map dt a.internal")]
            .map(link => link.href.slice(root.length))
            .filter(name => !(name in window.previews) && !/#(fig|table)-/.test(name));
    }""")
    assert missing == []


def test_the_pointer_may_move_onto_the_preview(growth: Visit):
    preview = preview_of(growth)
    point_at(growth.page.locator("article a[href$='#thm-1']"))
    preview.hover()
    growth.page.wait_for_timeout(500)
    expect(preview).to_be_visible()
    growth.page.locator("article h1").hover()
    expect(preview).to_have_count(0)


def test_the_keyboard_shows_it_and_escape_takes_it_away(growth: Visit):
    keyboard, preview = growth.page.keyboard, preview_of(growth)
    link = growth.page.locator("article a[href$='#term-growth-bound']")
    link.evaluate("e => e.focus()")
    keyboard.press("Shift+Tab")
    expect(link).not_to_be_focused()
    keyboard.press("Tab")
    expect(link).to_be_focused()
    expect(preview).to_contain_text("by the input and")
    expect(link).to_have_accessible_description(re.compile("by the input and"))
    keyboard.press("Escape")
    expect(preview).to_have_count(0)
    expect(link).to_be_focused()
    keyboard.press("Shift+Tab")
    keyboard.press("Tab")
    expect(preview).to_contain_text("by the input and")
    keyboard.press("Tab")
    expect(preview).not_to_contain_text("by the input and")
    assert growth.complaints == []


def test_a_finger_follows_the_reference_and_shows_nothing(browser: Browser):
    page = browser.new_page(has_touch=True, viewport={"width": 360, "height": 740})
    open_page(page, f"{SITE.as_uri()}/book/09_resnet_d_network.html")
    show_everything(page)
    link = page.locator("article a.internal[href='#equation-eq-21']").first
    point_at(link)  # a mouse loads the texts, so that nothing has to be waited for
    page.mouse.move(0, 0)
    expect(page.locator("#preview")).to_have_count(0)
    page.evaluate("""() => {
        window.shown = 0;
        new MutationObserver(() => window.shown += document.querySelectorAll("#preview").length)
            .observe(document.body, {childList: true});
    }""")
    box = link.bounding_box()
    assert box is not None
    finger = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [finger]})
    page.wait_for_timeout(400)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    link.tap()
    page.wait_for_url("**/09_resnet_d_network.html#equation-eq-21")
    page.wait_for_timeout(400)
    assert page.evaluate("window.shown") == 0
    page.close()
