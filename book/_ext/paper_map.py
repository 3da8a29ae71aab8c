"""A Sphinx extension: the directive ``paper-map`` lists the items of the paper and their places.

They are read from ``book/paper_map.toml``. An item has its place where its label stands, as
:mod:`paper_numbers` explains: Eq. 8 at ``eq-8``, Theorem 2 at ``thm-2``, the caption of Fig. 1 at
``fig-1``. The list is written as MyST, so that a link that leads nowhere is a warning of Sphinx.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

KINDS = {
    "equation": ("Eq.", "eq", "ref"),
    "theorem": ("Theorem", "thm", "prf:ref"),
    "lemma": ("Lemma", "lem", "prf:ref"),
    "proposition": ("Proposition", "prop", "prf:ref"),
    "definition": ("Definition", "def", "prf:ref"),
    "remark": ("Remark", "rem", "prf:ref"),
    "figure": ("Fig.", "fig", "ref"),
    "table": ("Table", "table", "ref"),
}
"""For each kind of item: its name in the paper, the beginning of its labels, the role of a link."""

PLACE = "book/paper_map.toml"


@dataclass(frozen=True)
class Item:
    """An item of the paper: what it says, the page it stands on, what computes and what checks it.

    ``code`` names public functions and classes as ``module.name``. A check is a test,
    ``tests/test_flow.py::test_name``, or a code cell that asserts: ``page: text in the cell``.
    """

    kind: str
    number: int
    what: str
    page: str
    code: list[str]
    check: list[str]

    @property
    def name(self) -> str:
        """As the paper calls it, such as "Eq. 8"."""
        return f"{KINDS[self.kind][0]} {self.number}"

    @property
    def label(self) -> str:
        """The label of its place, such as "eq-8"."""
        return f"{KINDS[self.kind][1]}-{self.number}"

    def __str__(self) -> str:
        """The entry of the list, as MyST: a term with its definition."""
        link = f"{{{KINDS[self.kind][2]}}}`{self.name} <{self.label}>`"
        code = ", ".join(f"{{py:obj}}`{name} <forward_stability.{name}>`" for name in self.code)
        checks = "; ".join(map(describe, self.check))
        return f"{link} {self.what}\n: [](/book/{self.page}.ipynb). {code}. Checked: {checks}.\n"


def describe(check: str) -> str:
    """A check as MyST: the name of a test is a sentence, that of a cell a link to its page."""
    if "::" not in check:
        page = check.partition(":")[0]
        return f"a cell of [chapter {int(page.partition('_')[0])}](/book/{page}.ipynb)"
    file, _, name = check.partition("::test_")
    return f"{name.replace('_', ' ')} (`{Path(file).name}`)"


def read(path: Path) -> list[Item]:
    """The items of the file, in its order."""
    content = tomllib.loads(path.read_text("utf-8"))
    return [
        Item(kind, int(number), **entry)
        for kind, entries in content.items()
        for number, entry in entries.items()
    ]


class PaperMap(SphinxDirective):
    """``paper-map`` with the kind of the items and, if wanted, the first and the last number."""

    required_arguments = 1
    optional_arguments = 2

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir) / PLACE
        self.env.note_dependency(str(path))
        kind, *ends = self.arguments
        first, last = map(int, ends) if ends else (1, 1000)
        chosen = [i for i in read(path) if i.kind == kind and first <= i.number <= last]
        entries = self.parse_text_to_nodes("\n".join(map(str, chosen)))
        return [nodes.container("", *entries, classes=["paper-map"])]


def setup(app: Sphinx) -> dict:
    app.add_directive("paper-map", PaperMap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
