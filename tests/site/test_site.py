"""The built book in a browser: quiet, self-contained, light, typeset, open to every reader.

Nothing on its pages is cut, pale or in the way, in a wide window and on a phone.

Without a Chromium the tests are skipped, or fail if REQUIRE_BROWSER=1.
"""

import gzip
import re
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from browser import SITE, find_barriers, open_page
from playwright.sync_api import Browser, Locator, Page, Response, expect
from visits import PAGES, Visit, bare, show_everything

from forward_stability.book.explore import BUDGET

WEIGHT, LIGHT, OPENED = 1_500_000, 350_000, 800_000
"""The most bytes that a page loads, compressed, without MathJax, which is the same for all: any
page; one whose figures live; one with networks before the reader scrolls."""

LIVE = re.compile(r"book/(0[0-6]|09|10|11)_")
"""The chapters whose figures live."""

THEORY = re.compile(r"book/(0[0-7]|09|10|11)_")
"""The chapters whose code is folded."""

# A point of each figure that stands on a page, and its text on a phone, as their CSS has them.
GROUNDS = """() => [...document.querySelectorAll(".figure, .picture, .picture > *, .figure > *")]
    .map(e => getComputedStyle(e).backgroundColor)
    .concat([...document.querySelectorAll(":is(.figure, .picture) svg > g > g:first-child > path")]
        .map(e => getComputedStyle(e).fill))"""
SIZES = """() => [...document.querySelectorAll(":is(.figure, .picture) svg text")]
    .filter(e => e.getClientRects().length).map((e) => {
        const parts = e.children.length ? [...e.children] : [e];
        const points = Math.max(...parts.map((p) => parseFloat(getComputedStyle(p).fontSize)));
        return points * Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b);
    })"""

CUT = """() => [...document.querySelectorAll(".bd-article mjx-container")].filter(box => {
    if (box.closest(".pst-scrollable-table-container")) return false;
    const shown = box.firstElementChild.getBoundingClientRect();
    let clip = box;
    while (clip !== document.body && (getComputedStyle(clip).overflowX === "visible"
        || getComputedStyle(clip).display === "inline")) clip = clip.parentElement;
    const edge = Math.min(clip.getBoundingClientRect().right,
        document.querySelector(".bd-article").getBoundingClientRect().right);
    return shown.width === 0 || shown.right > edge + 1;
}).map(box => box.closest("p, li, td, div.math").textContent.slice(0, 80))"""
"""Formulas of which a part is cut off, or that are not shown, where all is open; tables scroll."""

NARROW = """() => [...document.querySelectorAll(".bd-article mjx-container[display]")]
    .filter(box => box.querySelector("mjx-linebox ~ mjx-linebox")
        && box.firstElementChild.getBoundingClientRect().width < box.clientWidth / 2)
    .map(box => box.textContent.slice(0, 80))"""
"""The displayed formulas that are broken although there is room."""

PALE = """() => {
    const numbers = color => color.match(/[\\d.]+/g).map(Number);
    const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255)
        + 0.0722 * linear(b / 255);
    const ground = e => {
        for (; e; e = e.parentElement) {
            const color = numbers(getComputedStyle(e).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    const written = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    const all = ":is(.highlight pre, mjx-container), :is(.highlight pre, mjx-container) *";
    return [...document.querySelectorAll(all)].filter(written).flatMap(e => {
        const [a, b] = [light(numbers(getComputedStyle(e).color)), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        return ratio < 4.5 ? [[e.outerHTML, ratio]] : [];
    });
}"""
"""What of code and formulas has too little contrast: WCAG 2.2, success criterion 1.4.3."""

CODE = """() => {
    const blocks = [...document.querySelectorAll(".bd-article .cell_input")];
    const seen = { visibilityProperty: true, opacityProperty: true };
    const height = blocks.filter(e => e.checkVisibility(seen))
        .map(e => e.getBoundingClientRect().height).reduce((a, b) => a + b, 0);
    const cut = blocks.flatMap(e => [...e.querySelectorAll("pre")])
        .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent);
    const page = document.querySelector(".bd-article") ?? document.body;
    return [height / page.offsetHeight, cut];
}"""
"""The share of code in the height of a page as it opens, and the blocks that are cut."""


# What axe-core finds and this book does not make: a rule, and the elements that may break it.
ACCEPTED = [
    # The theme's name of a button is not the text in it: "Search" for "Search Ctrl + K", "Color
    # mode" for "Light". MyST-NB names "Code" a "Toggle hidden content".
    ("label-content-name-mismatch", ".search-button-field"),
    ("label-content-name-mismatch", ".theme-switch-button"),
    ("label-content-name-mismatch", "details.hide > summary"),
    # The theme's logo stands outside its landmarks.
    ("region", ".sidebar-primary-item:has(> .navbar-brand)"),
    # The theme lets a wide formula scroll; a browser gives it the focus of the keyboard by itself.
    ("scrollable-region-focusable", "div.math > mjx-container"),
    # It decides which code the Tab key stops at while that is still collapsed.
    ("scrollable-region-focusable", "pre[tabindex='-1']"),
    # Docutils marks up the bibliography with roles that ARIA has given up since.
    ("aria-allowed-role", "div.citation"),
    ("aria-deprecated-role", "div.citation"),
    ("aria-required-children", "div.citation-list"),
]


@pytest.fixture(scope="module", params=PAGES)
def visit(request, browser: Browser, site: str) -> Iterator[Visit]:
    visit = Visit(browser, request.param, f"{site}/{request.param}")
    yield visit
    visit.context.close()


@pytest.fixture(scope="module")
def phone(visit: Visit) -> Iterator[Page]:
    """The same page on a phone, where it opens so narrow: MathJax breaks lines once.

    In the same context, where all is loaded already; the other page gets no frames from then on.
    """
    page = visit.context.new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    open_page(page, visit.page.url)
    yield page
    page.close()


def test_the_book_is_built():
    assert PAGES, "build the book first: make book"


def test_the_address_of_the_book_leads_to_its_first_page(browser: Browser, site: str):
    page = browser.new_page()
    page.goto(site)
    page.wait_for_url("**/book/00_start.html", wait_until="commit")
    page.close()


def test_code_is_not_in_the_way(visit: Visit):
    share, cut = visit.page.evaluate(CODE)
    if THEORY.match(visit.name):
        assert share <= 0.1
    assert cut == []


def test_formulas_are_typeset(visit: Visit):
    found = visit.page.evaluate("""() => {
        const raw = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const node = walker.currentNode;
            if (node.parentElement.closest("script, style, code, pre, mjx-container")) continue;
            if (/\\\\\\(|\\\\\\[|\\$\\$|\\\\begin\\{/.test(node.data)) raw.push(node.data.trim());
        }
        const blank = [...document.querySelectorAll(".math")]
            .filter(formula => !formula.querySelector("mjx-container")).map(f => f.outerHTML);
        const wrong = [...document.querySelectorAll("mjx-merror")]
            .map(e => e.closest(".math").querySelector("mjx-merror").dataset.mjxError);
        return {raw, blank, wrong};
    }""")
    assert found == {"raw": [], "blank": [], "wrong": []}


def test_no_output_of_a_failed_cell(visit: Visit):
    assert "Traceback (most recent call last)" not in visit.page.content()


def test_images_have_alternative_text(visit: Visit):
    silent = visit.page.eval_on_selector_all(
        "img, [role=img]:not([aria-hidden=true])",
        "images => images.filter(i => !(i.alt ?? i.ariaLabel ?? '').trim()"
        " && !i.hasAttribute('aria-labelledby'))"
        ".map(i => i.outerHTML.slice(0, 100))",
    )
    assert silent == []


def test_no_formula_is_cut(visit: Visit):
    show_everything(visit.page)
    assert visit.page.evaluate(CUT) == []
    assert visit.page.evaluate(NARROW) == []


def test_no_figure_has_a_white_ground_in_the_dark(visit: Visit):
    visit.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    grounds = visit.page.evaluate(GROUNDS)
    visit.page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert set(grounds) <= {"rgba(0, 0, 0, 0)", "none"}


def test_the_dark_mode_is_printed_in_the_colours_of_the_light_one(browser: Browser, site: str):
    """The light of text and background, from 0 to 255, while the page is printed and after it."""
    page = browser.new_page(color_scheme="dark")
    open_page(page, f"{site}/{PAGES[0]}")
    page.evaluate("""() => {
        const style = getComputedStyle(document.body);
        const light = () => [style.color, style.backgroundColor].map(
            (colour) => Math.max(...colour.match(/\\d+/g).slice(0, 3)));
        globalThis.seen = [light()];
        addEventListener("beforeprint", () => seen.push(light()));
        addEventListener("afterprint", () => seen.push(light()));
    }""")
    page.pdf()
    dark, printed, after = page.evaluate("seen")
    page.close()
    assert dark[0] > 200
    assert printed[0] < 60
    assert after == dark


def check_control(control: Locator, figure: Locator) -> None:
    """Move a control in all ways; the picture, the value and its text must follow."""
    page = control.page
    picture = figure.locator(".picture")

    def source() -> str:
        return picture.inner_html()

    def position() -> int:
        return int(control.input_value())

    control.scroll_into_view_if_needed()
    if control.evaluate("e => e.tagName") == "SELECT":
        assert re.match(r'- combobox "\S.*"', control.aria_snapshot())
        seen = set()
        for i in range(control.locator("option").count()):
            control.select_option(index=i)
            seen.add(source())
        assert len(seen) > 1, "no option changes the picture"
        return

    assert re.match(r'- slider "\S.*"', control.aria_snapshot())
    texts = control.evaluate("e => JSON.parse(e.dataset.values)")
    output = control.locator("xpath=../output")
    control.focus()
    page.keyboard.press("Home")
    seen = {source()}
    for i in range(len(texts)):
        assert position() == i
        assert output.text_content() == control.get_attribute("aria-valuetext") == texts[i]
        seen.add(source())
        page.keyboard.press("ArrowRight")
    assert len(seen) > 1, "no key changes the picture"

    page.keyboard.press("Home")
    box = control.bounding_box()
    assert box is not None
    seen, middle = {source()}, box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 12, middle)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(box["x"] + 12 + (box["width"] - 13) * step / 10, middle)
        seen.add(source())
    page.mouse.up()
    assert position() == len(texts) - 1
    assert output.text_content() == texts[-1]
    assert len(seen) > 1, "no drag changes the picture"


def test_every_control_moves_its_picture(visit: Visit):
    show_everything(visit.page)
    for figure in visit.page.locator("figure.explore").all():
        controls = figure.locator("[data-axis]").all()
        assert controls
        for control in controls:
            check_control(control, figure)


def test_pictures_fit_the_budget(visit: Visit):
    frames = visit.page.eval_on_selector_all(
        "figure.explore script[type='application/json']", "all => all.map(s => s.textContent)"
    )
    alone = visit.page.eval_on_selector_all("div.figure", "all => all.map(s => s.outerHTML)")
    sizes = [len(gzip.compress(text.encode())) for text in frames + alone]
    assert all(size <= BUDGET for size in sizes), sizes


def test_every_icon_is_drawn(visit: Visit):
    """The book carries those icons only that it shows."""
    found = visit.page.evaluate("""() => {
        const all = selector => [...document.querySelectorAll(selector)].map(e => e.outerHTML);
        return [all("svg[data-icon]").length, all(":is(i, span)[class*='fa-'], svg:has(.missing)")];
    }""")
    assert found[0] > 10
    assert found[1] == []


def test_no_barrier_to_keyboard_or_screen_reader(visit: Visit):
    """The first page whole, the others without the inside of formulas and code."""
    show_everything(visit.page)
    unnamed = visit.page.locator("canvas[role=img]:not([aria-label])")
    expect(unnamed).to_have_count(0, timeout=30_000)  # a network names its image with its answer
    with bare(visit.page) if visit.name != PAGES[0] else nullcontext():
        found = find_barriers(visit.page, without=["color-contrast"], accepted=ACCEPTED)
    assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_code_and_formulas_can_be_read(visit: Visit, theme: str):
    visit.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    pale = visit.page.evaluate(PALE)
    visit.page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert pale == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_other_text_can_be_read(visit: Visit, theme: str):
    page = visit.page
    show_everything(page)
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    with bare(page):
        found = find_barriers(page, rules=["color-contrast"])
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert found == []


@pytest.mark.parametrize("width", [360, 320])
def test_nothing_is_wider_than_a_phone(phone: Page, width: int):
    phone.set_viewport_size({"width": width, "height": 740})
    found = phone.evaluate("document.scrollingElement.scrollWidth")
    wide = phone.eval_on_selector_all(
        "figure.explore, .fs-live, div.figure, figure.explore .explore-control",
        "(all, most) => all.filter(e => e.offsetParent && e.getBoundingClientRect().right > most)"
        ".map(e => e.outerHTML.slice(0, 100))",
        width,
    )
    phone.set_viewport_size({"width": 360, "height": 740})
    assert (found, wide) == (width, [])


def test_figures_are_vector_drawings_and_their_text_is_legible_on_a_phone(phone: Page):
    """At 360 pixels no text is smaller than 11 pixels; no figure is a picture of dots."""
    show_everything(phone)
    sizes = phone.evaluate(SIZES)
    assert all(size > 10.8 for size in sizes), min(sizes)
    dots = phone.locator("div.cell_output :is(img, .figure img, .picture img)")
    assert dots.count() == 0
    empty = phone.locator(":is(.figure, .picture):not(:has(> svg text, > svg image))")
    assert empty.count() == 0


def test_no_formula_is_cut_on_a_phone(phone: Page):
    show_everything(phone)
    assert phone.evaluate(CUT) == []


def weight(response: Response) -> int:
    """The bytes that a server sends which compresses text."""
    body = response.body()
    packed = response.request.resource_type in ("font", "image")
    return len(body if packed else gzip.compress(body))


def weights(visit: Visit) -> dict[str, int]:
    """Of what a page loads, without MathJax; a blob is made of what is loaded already."""
    loaded = (r for r in visit.responses if not r.url.startswith("blob:"))
    return {r.url: weight(r) for r in loaded if "/vendor/mathjax/" not in r.url}


def test_a_page_is_light(visit: Visit):
    """Near the end, so that what is loaded late, such as fonts, is counted."""
    sizes = weights(visit)
    assert visit.page.url in sizes
    assert sum(sizes.values()) <= (LIGHT if LIVE.match(visit.name) else WEIGHT), sizes


def test_networks_are_loaded_when_their_explorer_is_near(visit: Visit, browser: Browser):
    """What a page loads before the reader scrolls, without MathJax."""
    if not visit.page.locator(".live:has(.fs-live:not(.fs-stage))").count():
        return
    fresh = Visit(browser, visit.name, visit.page.url.partition("#")[0])
    fresh.page.wait_for_load_state("networkidle")
    sizes = weights(fresh)
    assert sum(sizes.values()) <= OPENED, sizes
    small = "16_" in visit.name  # its networks have a few thousand weights
    assert (fresh.page.locator("[data-from]").count() > 0) != small
    last = fresh.page.locator(".live:not(:has(> .fs-stage))").last
    last.scroll_into_view_if_needed()
    last.locator("[data-level], [data-shown], [data-step]").first.wait_for()
    assert fresh.complaints == []
    fresh.context.close()


def test_the_browser_did_not_complain(visit: Visit):
    """The last test of a page: it covers what the others did there."""
    assert visit.complaints == []


def test_a_page_opens_from_a_file(browser: Browser):
    chapter = next(p for p in PAGES if 'class="explore"' in (SITE / p).read_text("utf-8"))
    visit = Visit(browser, chapter, (SITE / chapter).as_uri())
    test_formulas_are_typeset(visit)
    test_every_control_moves_its_picture(visit)
    assert visit.complaints == []
    visit.context.close()
