"""The map of the paper: every item has one place, and what is named there exists."""

import ast
import importlib
import re
from collections import Counter
from functools import cache
from pathlib import Path

import nbformat
import pytest
from paper_map import KINDS, PLACE, Item, read
from paper_numbers import CAPTION

ROOT = Path(__file__).resolve().parents[2]
BOOK, SITE = ROOT / "book", ROOT / "_build" / "html" / "book"
ITEMS = read(ROOT / PLACE)

COUNTS = {
    "equation": 58,
    "theorem": 8,
    "lemma": 2,
    "proposition": 3,
    "definition": 8,
    "remark": 5,
    "figure": 10,
    "table": 5,
}
"""How many items of each kind the paper numbers: 99."""


def labels(source: str) -> list[str]:
    """The labels of the paper's items whose place is in this Markdown."""
    kinds = "|".join(prefix for _, prefix, role in KINDS.values() if role == "prf:ref")
    found = re.findall(rf"^:label: ((?:{kinds}|eq)-\d+)$", source, re.MULTILINE)
    found += re.findall(r"\$\$ \((eq-\d+)\)\s*$", source, re.MULTILINE)
    captions = re.findall(rf"^\*\*{CAPTION}", source, re.MULTILINE)
    return found + [f"{name.lower().rstrip('.')}-{number}" for name, number in captions]


@cache
def cells(page: str, kind: str) -> list[str]:
    """The sources of the cells of a page; a page of plain Markdown is one cell."""
    path = BOOK / f"{page}.ipynb"
    if path.is_file():
        notebook = nbformat.read(path, as_version=4)
        return [cell.source for cell in notebook.cells if cell.cell_type == kind]
    return [(BOOK / f"{page}.md").read_text("utf-8")] if kind == "markdown" else []


PAGES = sorted(path.stem for path in BOOK.iterdir() if path.suffix in (".ipynb", ".md"))
PLACES = {page: [n for cell in cells(page, "markdown") for n in labels(cell)] for page in PAGES}


def asserts(source: str) -> bool:
    """Whether a code cell asserts something, itself or through ``report``."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "report")
        for node in ast.walk(ast.parse(source))
    )


def test_all_items_are_listed():
    listed = {item.label for item in ITEMS}
    wanted = {f"{KINDS[kind][1]}-{n}" for kind in COUNTS for n in range(1, COUNTS[kind] + 1)}
    assert len(wanted) == 99
    assert listed == wanted


def test_no_item_has_two_places():
    places = Counter(name for names in PLACES.values() for name in names)
    assert [name for name, count in places.items() if count > 1] == []


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.label)
class TestItem:
    def test_its_place_is_in_the_sources(self, item: Item):
        assert item.label in PLACES.get(item.page, [])

    def test_its_place_is_on_the_page(self, item: Item):
        if not SITE.is_dir():
            pytest.skip("the book is not built")
        identifier = f"equation-{item.label}" if item.kind == "equation" else item.label
        assert f'id="{identifier}"' in (SITE / f"{item.page}.html").read_text("utf-8")

    def test_its_code_is_public(self, item: Item):
        assert item.code
        for name in item.code:
            wing = 2 if name.startswith(("experiments.", "book.")) else 1
            parts = name.split(".")
            module, attributes = ".".join(parts[:wing]), parts[wing:]
            found = importlib.import_module(f"forward_stability.{module}")
            for attribute in attributes:
                assert not attribute.startswith("_")
                found = getattr(found, attribute)
            assert found.__module__ == f"forward_stability.{module}"

    def test_its_checks_exist(self, item: Item):
        assert item.check
        for check in item.check:
            if "::" in check:
                path, _, name = check.partition("::")
                tree = ast.parse((ROOT / path).read_text("utf-8"))
                assert name in [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
            else:
                page, _, text = check.partition(": ")
                found = [cell for cell in cells(page, "code") if text in cell]
                assert len(found) == 1, f"{text!r} is in {len(found)} cells of {page}"
                assert asserts(found[0])


def test_the_summary_has_all_theorems():
    summary = (BOOK / "summary.md").read_text("utf-8")
    found = set(re.findall(r"\{prf:ref\}`((?:thm|lem|prop)-\d+)`", summary))
    assert found == {i.label for i in ITEMS if i.kind in ("theorem", "lemma", "proposition")}
