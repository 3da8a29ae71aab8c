"""The built book as it is read: nothing that is cut, pale, dead or in the way."""

import re
from collections.abc import Iterator

import pytest
from browser import SITE, open_page
from bs4 import BeautifulSoup, Tag
from mentions import LABELS, MENTION
from playwright.sync_api import Browser, Page

PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("book/*.html"))
CHAPTERS = [page for page in PAGES if re.match(r"book/\d\d_", page)]
THEORY = [page for page in PAGES if re.match(r"book/(0[0-7]|09|10|11)_", page)]

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

OPEN = """() => {
    for (const e of document.querySelectorAll("details")) e.open = true;
    for (const e of document.querySelectorAll(".toggle-hidden")) e.click();
}"""
"""Shows what is folded."""

CONTRAST = """() => {
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
    const least = {};
    for (const e of document.querySelectorAll(".highlight pre, .highlight pre span")) {
        if (![...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim())) continue;
        const [a, b] = [light(numbers(getComputedStyle(e).color)), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        least[e.className] = Math.min(least[e.className] ?? 21, ratio);
    }
    return least;
}"""
"""The least contrast of each kind of token of the code: WCAG 2.2, success criterion 1.4.3."""

CODE = """() => {
    const blocks = [...document.querySelectorAll(".bd-article .cell_input")];
    const seen = { visibilityProperty: true, opacityProperty: true };
    const height = blocks.filter(e => e.checkVisibility(seen))
        .map(e => e.getBoundingClientRect().height).reduce((a, b) => a + b, 0);
    const cut = blocks.flatMap(e => [...e.querySelectorAll("pre")])
        .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent);
    return [height / document.querySelector(".bd-article").offsetHeight, cut];
}"""
"""The share of code in the height of a page as it opens, and the blocks that are cut."""


@pytest.fixture(scope="module", params=PAGES)
def page(request, browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    open_page(page, (SITE / request.param).as_uri())
    yield page
    page.close()


def test_code_is_not_in_the_way(page: Page):
    share, cut = page.evaluate(CODE)
    if any(page.url.endswith(chapter) for chapter in THEORY):
        assert share <= 0.1
    assert cut == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_code_can_be_read(page: Page, theme: str):
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    pale = {kind: ratio for kind, ratio in page.evaluate(CONTRAST).items() if ratio < 4.5}
    assert pale == {}


def test_no_formula_is_cut(page: Page):
    page.evaluate(OPEN)
    assert page.evaluate(CUT) == []
    assert page.evaluate(NARROW) == []


@pytest.mark.parametrize("name", PAGES)
def test_no_formula_is_cut_on_a_phone(browser: Browser, name: str):
    """In a window that opens so narrow, since MathJax breaks lines once."""
    page = browser.new_page(viewport={"width": 360, "height": 900})
    open_page(page, (SITE / name).as_uri())
    page.evaluate(OPEN)
    cut = page.evaluate(CUT)
    page.close()
    assert cut == []


def article(name: str) -> Tag:
    """The text of a page, without what is no sentence of it."""
    soup = BeautifulSoup((SITE / name).read_text("utf-8"), "html.parser").select_one("article")
    assert soup is not None
    for other in soup.select(
        "script, style, pre, code, svg, h1, h2, h3, h4, dt, summary, .live, .question, .math"
    ):
        other.decompose()
    return soup


@pytest.fixture(scope="module")
def places() -> set[str]:
    """The labels of all equations, theorems and so on that a page of the book bears."""
    texts = [(SITE / page).read_text("utf-8") for page in PAGES]
    label = rf'id="(?:equation-)?((?:{"|".join(LABELS.values())})-\d+)"'
    chapters = {f"chapter-{int(page[5:7])}" for page in CHAPTERS}
    return chapters.union(*(re.findall(label, text) for text in texts))


@pytest.mark.parametrize("name", [page for page in PAGES if "package" not in page])
def test_what_is_mentioned_is_a_link(name: str, places: set[str]):
    soup = article(name)
    for title in soup.select(".proof-title, .admonition-title, caption, .caption-text, p > strong"):
        title.replace_with("·")
    for statement in soup.select(".proof[id]"):  # it may speak of itself
        own = re.sub(r"^thm-", "Theorem ", statement["id"])
        for text in statement.find_all(string=lambda text, own=own: own in text):
            text.replace_with(text.replace(own, "·"))
    for link in soup.select("a"):
        link.replace_with("·")
    found = [(mention[1].lower(), mention[0]) for mention in MENTION.finditer(soup.get_text())]
    dead = [text for kind, text in found if f"{LABELS[kind]}-{text.split()[-1]}" in places]
    assert dead == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_figure_has_a_caption(name: str):
    soup = BeautifulSoup((SITE / name).read_text("utf-8"), "html.parser")
    figures = [
        cell
        for cell in soup.select("article .cell")
        if cell.select_one(".live, .figure, figure.explore")
    ]
    assert figures
    for figure in figures:
        following = figure.find_next_sibling()
        assert following is not None
        caption = following.get_text().strip()
        assert re.match(r"(Figure \d+\.\d+|(Fig\.|Table) \d+ of the paper)", caption), caption
