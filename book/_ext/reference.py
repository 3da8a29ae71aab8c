"""A Sphinx extension: the pages about the package are made from the package.

``package-names`` lists what a researcher imports, ``package-wing`` documents the modules of one
wing (core, experiments, book or cli), each after those that it imports, by autodoc. Names of
chapters in docstrings become links.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PACKAGE = "forward_stability"
SOURCES = Path("src") / PACKAGE
CHAPTER = re.compile(r"\b([Cc]hapters?) (\d+(?:(?:, | and | to )\d+)*)")


def modules(root: Path) -> dict[str, Path]:
    """The modules of the package that hold something, by name."""
    found = {}
    for path in sorted((root / SOURCES).rglob("*.py")):
        parts = (PACKAGE, *path.relative_to(root / SOURCES).with_suffix("").parts)
        if parts[-1] not in ("__main__", "__init__") or len(parts) > 3:
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """The modules that a file may import; of names in a package, the names as modules."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wing(module: str) -> str:
    """The wing of a module: "experiments", "book", "cli", or "core"."""
    name = module.removeprefix(f"{PACKAGE}.").split(".")[0]
    return name if name in ("experiments", "book", "cli") else "core"


def chapter(path: Path) -> int:
    """The first chapter that the docstring of a module names; 0 if it names none."""
    match = CHAPTER.search(ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
    return int(re.findall(r"\d+", match[2])[0]) if match else 0


def ordered(root: Path, chosen: str) -> list[str]:
    """The modules of a wing, each after those that it imports, else in the order of the book."""
    found = {name: path for name, path in modules(root).items() if wing(name) == chosen}
    sorter = TopologicalSorter(
        {name: set(imported(path)) & found.keys() for name, path in found.items()}
    )
    sorter.prepare()
    names, ready = [], []
    while sorter.is_active():
        ready += sorter.get_ready()
        ready.sort(key=lambda name: (chapter(found[name]), name))
        names.append(ready.pop(0))
        sorter.done(names[-1])
    return names


class PackageNames(SphinxDirective):
    """A list of ``__all__``: each name with its home and the first sentence about it."""

    def run(self) -> list[nodes.Node]:
        package = importlib.import_module(PACKAGE)
        lines = []
        for name in package.__all__:
            found = getattr(package, name)
            first = (inspect.getdoc(found) or "").split("\n\n")[0].replace("\n", " ")
            lines.append(f":py:obj:`{name} <{found.__module__}.{name}>`\n   {first}\n")
        return self.parse_text_to_nodes(in_rst("\n".join(lines)))


class PackageWing(SphinxDirective):
    """The modules of the wing that is named, a section each."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        sections: list[nodes.Node] = []
        self.env.note_dependency(__file__)
        for module in ordered(Path(self.env.srcdir), self.arguments[0]):
            name = module.removeprefix(f"{PACKAGE}.").removeprefix(f"{self.arguments[0]}.")
            section = nodes.section(ids=[nodes.make_id(name)], names=[name])
            section += nodes.title("", "", nodes.literal("", name))
            options = ("members:", "ignore-module-all:", "member-order: bysource")
            lines = [f".. automodule:: {module}", *(f"   :{option}" for option in options)]
            section += self.parse_text_to_nodes(in_rst("\n".join(lines)))
            sections.append(section)
        return sections


def in_rst(text: str) -> str:
    """reStructuredText in a page of MyST."""
    return f"````{{eval-rst}}\n{text}\n````"


def link_chapters(app: Sphinx, _what: str, _name: str, _object: object, _options, lines) -> None:
    """ "Chapter 7" becomes a link."""
    places = {int(p.name[:2]): p.stem for p in Path(app.srcdir, "book").glob("[0-9][0-9]_*.ipynb")}

    def link(match: re.Match[str]) -> str:
        numbers = re.sub(r"\d+", lambda n: f":doc:`{n[0]} </book/{places[int(n[0])]}>`", match[2])
        return f"{match[1]} {numbers}"

    lines[:] = [CHAPTER.sub(link, line) for line in lines]


def setup(app: Sphinx) -> dict:
    app.add_directive("package-names", PackageNames)
    app.add_directive("package-wing", PackageWing)
    app.connect("autodoc-process-docstring", link_chapters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
