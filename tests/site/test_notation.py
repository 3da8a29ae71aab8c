"""The page of symbols and terms covers what the chapters use."""

import re
from collections import defaultdict
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGE = (BOOK / "notation.md").read_text("utf-8")
CHAPTERS = {
    path.stem: "\n".join(
        cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown"
    )
    for path in sorted(BOOK.glob("[0-9]*.ipynb"))
}

GREEK = re.compile(
    r"\\((?:var)?(?:alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho"
    r"|sigma|tau|upsilon|phi|chi|psi|omega))(?![a-z])",
    re.IGNORECASE,
)


def formulas(text: str) -> list[str]:
    """All TeX between dollars."""
    displayed = re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)
    rest = re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL)
    return displayed + re.findall(r"\$([^$]+)\$", rest)


def symbols(tex: str) -> set[str]:
    """The letters of a formula: Latin and Greek ones, and upright words such as prox."""
    tex = re.sub(r"\\text\{[^}]*\}|\\(?:begin|end)\{[^}]*\}(?:\{[^}]*\})?", "", tex)
    word = r"\\(?:mathrm|operatorname)\{([^}]*)\}"
    words, tex = re.findall(word, tex), re.sub(word, "", tex)
    latin = re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", tex))
    return {*words, *GREEK.findall(tex), *latin}


def statements(text: str) -> str:
    """The theorems, definitions and other boxes, without the proofs."""
    return "\n".join(
        re.findall(r"^:::\{prf:(?!proof)\w+\}.*?^:::$", text, re.DOTALL | re.MULTILINE)
    )


def terms() -> set[str]:
    glossary = re.search(r":::\{glossary\}\n(.*?)^:::", PAGE, re.DOTALL | re.MULTILINE)
    assert glossary
    return set(re.findall(r"^(\S.*)$", glossary[1], re.MULTILINE))


def test_symbols_of_several_chapters_are_explained():
    """A letter in the theorems of two chapters is in a table, in a cell of its first column."""
    rows = re.findall(r"^\|([^|]*(?:\\\|[^|]*)*)\|", PAGE, re.MULTILINE)
    explained = set().union(*(symbols(tex) for row in rows for tex in formulas(row)))
    places = defaultdict(set)
    for chapter, text in CHAPTERS.items():
        for letter in set().union(*map(symbols, formulas(statements(text)))):
            places[letter].add(chapter)
    missing = {x: sorted(c) for x, c in places.items() if len(c) > 1 and x not in explained}
    assert missing == {}


def test_every_term_is_linked_from_a_chapter():
    """And each link has its term, also where the book is not built."""
    linked = {
        shown.partition("<")[2].rstrip(">") or shown
        for text in CHAPTERS.values()
        for shown in re.findall(r"\{term\}`([^`]+)`", text)
    }
    assert linked == terms()


def test_terms_are_in_order_and_defined_once():
    glossary = re.findall(r"^(\S.*)$", PAGE.partition(":::{glossary}\n")[2], re.MULTILINE)
    names = glossary[:-1]  # the last line closes the directive
    assert names == sorted(set(names), key=str.lower)
