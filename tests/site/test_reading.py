"""The built book as it is read: what is mentioned is a link, and every figure has a caption."""

import re

import pytest
from browser import SITE
from bs4 import BeautifulSoup, Tag
from mentions import LABELS, MENTION

PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("book/*.html"))
CHAPTERS = [page for page in PAGES if re.match(r"book/\d\d_", page)]


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
