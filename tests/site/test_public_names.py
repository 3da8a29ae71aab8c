"""The book mentions every public function and class of the package, and none that is not there."""

import ast
import importlib
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
BOOK, PACKAGE = ROOT / "book", ROOT / "src" / "forward_stability"
GUIDE = (BOOK / "package.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## `([\w.]+)`\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL))

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}
COMMAND_LINE = {"cli"}  # its functions are the commands, which chapters run and --help explains


def words_of_the_chapters() -> set[str]:
    cells = [
        cell.source
        for path in BOOK.glob("[0-9]*.ipynb")
        for cell in nbformat.read(path, as_version=4).cells
    ]
    return set(re.findall(r"\w+", "\n".join(cells)))


WORDS = words_of_the_chapters()


@pytest.mark.parametrize("module", sorted(MODULES.keys() - COMMAND_LINE))
def test_public_names_are_in_a_chapter_or_in_the_guide(module: str):
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    public = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    named = set(re.findall(r"`(\w+)`", SECTIONS.get(module, "")))
    assert [name for name in public if name not in named | WORDS] == []


@pytest.mark.parametrize("module", SECTIONS)
def test_the_guide_names_what_is_there(module: str):
    found = importlib.import_module(f"forward_stability.{module}")
    named = re.findall(r"`(\w+)`", SECTIONS[module])
    assert named
    assert [name for name in named if not hasattr(found, name)] == []
