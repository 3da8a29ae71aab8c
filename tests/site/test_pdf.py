"""A PDF of one chapter of the built book: all that a reader would have to open is in it."""

import html
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pdf
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser
from pypdf import PdfReader

from forward_stability import __version__

CHAPTER = "book/12_looking_inside"  # it has a slider, an explorer and a question


@pytest.fixture(scope="module")
def printed(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PdfReader]:
    file: Path = tmp_path_factory.mktemp("pdf") / "book.pdf"
    count = pdf.make(browser, [page for page in pdf.pages() if page[0] == CHAPTER], file)
    with PdfReader(file) as reader:
        assert len(reader.pages) == count
        yield reader


@pytest.fixture(scope="module")
def texts(printed: PdfReader) -> list[str]:
    pages = [unicodedata.normalize("NFKC", page.extract_text()) for page in printed.pages]
    return [" ".join(page.split()) for page in pages]


def test_a_chapter_takes_some_pages(texts: list[str]):
    assert 15 <= len(texts) <= 60
    for number, text in enumerate(texts, start=1):
        assert re.search(rf"(^|\D){number}$", text), "the number of a page stands at its foot"


def test_the_contents_say_where_the_chapter_begins(texts: list[str]):
    found = re.search(r"Contents Experiments 12 · Looking inside (\d+)", texts[1])
    assert found is not None
    assert texts[int(found[1]) - 1].startswith("12 · Looking inside")


def test_what_was_folded_is_there(texts: list[str]):
    text = " ".join(texts)
    article = pdf.read(CHAPTER, None).soup
    for folded in article.select(
        ".solution .cell > .cell_input pre, .proof p, .solution section > p"
    ):
        plain = re.sub(r"\\\(.*?\\\)|\\\[.*?\\\]", " ", folded.get_text())
        words = [word for word in re.split(r"\W+", plain) if len(word) > 3]
        assert words
        assert all(word in text for word in words[:3] + words[-1:]), folded.get_text()


def test_only_what_paper_can_show(texts: list[str]):
    text = " ".join(texts)
    assert "This explorer runs in the browser" in text
    assert "All code of this chapter: book/12_looking_inside.ipynb" in text
    assert "Which share of its energy is in the average?" in text
    for absent in (
        "from forward_stability.book.kit",
        "\\(",
        "\\[",
        "This explorer needs JavaScript",
    ):
        assert absent not in text


def test_folded_code_stays_away_and_what_it_says_of_itself_stays():
    folded = """<details class="hide"><summary><p class="collapsed">{}</p><p class="expanded">{}</p>
    </summary><pre>code</pre></details>"""
    texts = ["Code", "Checked on 10,000 networks ✓"]
    soup = BeautifulSoup("".join(folded.format(text, text) for text in texts), "html.parser")
    pdf.open_all(pdf.Article("book/04_growth", None, soup))
    assert str(soup) == "<p>Checked on 10,000 networks ✓</p>"


def test_the_cover_says_which_version_and_how_to_cite():
    text = BeautifulSoup(pdf.cover(), "html.parser").get_text()
    for part in (__version__, "MIT", "To cite it", "10.1007/s10851-019-00922-y"):
        assert part in text


def test_a_drawing_refers_to_its_own_parts():
    drawings = pdf.read("book/02_forward_backward", None).soup.select("svg")
    parts = [{str(tag["id"]) for tag in drawing.select("[id]")} for drawing in drawings]
    assert len(set.union(*parts)) == sum(map(len, parts)) > 0
    for drawing, own in zip(drawings, parts, strict=True):
        used = re.findall(r'(?:url\(#|href="#)([^")]+)', str(drawing))
        assert set(used) <= own


def test_a_live_figure_stands_as_its_picture_with_its_sentence():
    name = "book/06_resnet_s"
    article = pdf.read(name, None)
    sentences = [p.get_text() for p in article.soup.select(".fs-still p")]
    assert sentences
    pdf.keep_still(article)
    text = article.soup.get_text()
    assert all(sentence in text for sentence in sentences)
    assert f"To move it: {name}.ipynb" in text
    assert article.soup.select(".fs-still svg path")
    assert not article.soup.select(".live")
    assert "until scripts run" not in text


def test_references_lead_to_pages_of_the_pdf(printed: PdfReader):
    places = printed.named_destinations
    assert f"/{CHAPTER}" in places or CHAPTER in places
    inner = outer = 0
    for page in printed.pages:
        for note in page.get("/Annots") or []:
            link = note.get_object()
            if "/Dest" in link:
                inner += 1
                assert str(link["/Dest"]).lstrip("/") in {name.lstrip("/") for name in places}
            elif "/A" in link and "/URI" in link["/A"]:
                outer += 1
                assert link["/A"]["/URI"].startswith("https://"), link["/A"]["/URI"]
    assert inner > 1
    assert outer >= 1


def test_the_whole_book_is_in_order():
    """Every page of the site is in it once, with the title of its page."""
    names = [name for name, _ in pdf.pages()]
    assert len(set(names)) == len(names)
    built = {
        p.relative_to(pdf.SITE).with_suffix("").as_posix() for p in pdf.SITE.glob("book/*.html")
    }
    assert set(names) == built
    articles = [pdf.read(name, part) for name, part in pdf.pages()]
    combined = pdf.combine(articles)
    for article in articles:
        assert f"<span>{html.escape(article.title)}</span>" in combined
        assert combined.count(f'id="{article.name}"') == 1
    identifiers = re.findall(r' id="(book/[^"]*)"', combined)
    targets = set(re.findall(r'href="#(book/[^"]*)"', combined))
    assert targets <= set(identifiers)
