"""The picture of the theorems: its arrows are the references of the proofs, as pages show them."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser

SITE = Path(__file__).resolve().parents[2] / "_build" / "html" / "book"
CHAPTERS = sorted(SITE.glob("[0-9][0-9]_*.html"))
STATEMENT = ".proof[id]:not(#proof)"
"""sphinx-proof gives all proofs one identifier."""


def article(page: Path) -> Tag:
    found = BeautifulSoup(page.read_text("utf-8"), "html.parser").select_one("article")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def picture() -> Tag:
    found = article(SITE / "summary.html").select_one("svg.theorem-map")
    assert found is not None
    return found


def arrows(picture: Tag) -> list[tuple[str, str]]:
    """What is used, and for what, by their labels."""
    return [(used, user) for used, user in (p["data-arc"].split() for p in picture.select("path"))]


def references() -> set[tuple[str, str]]:
    """Of all proofs: what they refer to, or the statement of the equation, and what they prove."""
    pages = {page.name: article(page) for page in CHAPTERS}
    boxes = {box["id"]: box for soup in pages.values() for box in soup.select(STATEMENT)}
    names = {
        title.get_text().partition(" (")[0]: label
        for label, box in boxes.items()
        if (title := box.select_one(".admonition-title")) is not None
    }
    found = set()
    for soup in pages.values():
        for proof in soup.select("#proof"):
            fold = proof.find_parent("details")
            summary = "" if fold is None else fold.select_one("summary").get_text()
            named = re.search(r"Proof of (\w+ \d+)", summary)
            above = proof.find_previous(lambda tag: tag.get("id") in boxes)
            assert above is not None
            proven = names[named[1]] if named else above["id"]
            for link in proof.select("a[href*='#']"):
                page, _, place = link["href"].partition("#")
                home = soup if not page else pages.get(page)
                target = home and home.find(id=place)
                box = target and next(
                    (t for t in [target, *target.parents] if t.get("id") in boxes), None
                )
                if box is not None and box["id"] != proven:
                    found.add((box["id"], proven))
    return found


def test_the_arrows_are_the_references_of_the_proofs(picture: Tag):
    drawn = arrows(picture)
    names = [link["data-label"] for link in picture.select("a")]
    kinds = {"thm", "lem", "prop"}
    wanted = {pair for pair in references() if {label.partition("-")[0] for label in pair} <= kinds}
    assert len(drawn) == len(set(drawn)) >= 25
    assert set(drawn) == wanted
    assert ("lem-1", "thm-4") in wanted
    assert ("prop-skorokhod", "thm-1") in wanted
    assert {label for pair in drawn for label in pair} <= set(names)


def test_no_proof_uses_what_it_is_used_for(picture: Tag):
    graph: dict[str, set[str]] = {}
    for used, user in arrows(picture):
        graph.setdefault(user, set()).add(used)
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_every_theorem_and_lemma_has_its_place_and_leads_to_its_statement(picture: Tag):
    pages = {page.name: article(page) for page in CHAPTERS}
    boxes = [
        box["id"] for soup in pages.values() for box in soup.select(".theorem[id], .lemma[id]")
    ]
    names = [link["data-label"] for link in picture.select("a")]
    assert set(boxes) <= set(names)
    assert len(set(names)) == len(names)
    for link in picture.select("a"):
        page, _, label = link["href"].partition("#")
        box = pages[page].find(id=label)
        assert box is not None
        assert label == link["data-label"]
        name = re.split("[:,]", link.get_text())[0]
        assert box.select_one(".admonition-title").get_text().startswith(name)
        assert link["aria-label"].startswith(name)


def test_a_name_that_is_pointed_at_shows_its_arrows_and_its_statement(browser: Browser):
    page = browser.new_page(viewport={"width": 360, "height": 800})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((SITE / "summary.html").as_uri())
    widths = """label => [...document.querySelectorAll(`.theorem-map path`)].map(
        e => [e.classList.contains(label), getComputedStyle(e).strokeWidth])"""
    assert len({width for _, width in page.evaluate(widths, "lem-1")}) == 1
    page.locator(".theorem-map [data-label='lem-1']").hover()
    look = page.evaluate(widths, "lem-1")
    chosen, others = ({width for mine, width in look if mine is kind} for kind in (True, False))
    assert chosen.isdisjoint(others)
    page.locator("#preview").wait_for()
    assert "Lemma 1" in page.locator("#preview").inner_text()
    sizes = page.eval_on_selector_all(
        ".theorem-map text",
        "all => all.map(e => e.getScreenCTM().a * parseFloat(getComputedStyle(e).fontSize))",
    )
    assert min(sizes) >= 11
    assert complaints == []
    page.close()
