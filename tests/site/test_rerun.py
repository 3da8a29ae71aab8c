"""A chapter is executed again when the package has changed, and only then."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

EXTENSIONS = Path(__file__).resolve().parents[2] / "book" / "_ext"

SOURCE = """
from pathlib import Path
with Path("runs.txt").open("a") as file:
    file.write("run ")
print("value is", Path("src/forward_stability/value.txt").read_text())
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "src/forward_stability").mkdir(parents=True)
    (tmp_path / "results").mkdir()
    notebook = new_notebook(cells=[new_code_cell(SOURCE)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "index.ipynb")
    return tmp_path


def build(book: Path, value: str) -> str:
    """Build the one-page book with the value in its package; returns the page."""
    (book / "src/forward_stability/value.txt").write_text(value)
    settings = ["extensions=myst_nb,rerun", "nb_execution_mode=cache", "language=en"]
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-C", *(f"-D{s}" for s in settings), ".", "_build/html"],
        cwd=book,
        env={**os.environ, "PYTHONPATH": str(EXTENSIONS)},
        check=True,
        capture_output=True,
    )
    return (book / "_build/html/index.html").read_text("utf-8")


def test_a_changed_package_executes_the_chapters_again(book):
    assert "value is one" in build(book, "one")
    assert "value is one" in build(book, "one")
    assert (book / "runs.txt").read_text() == "run "
    assert "value is two" in build(book, "two")
    assert (book / "runs.txt").read_text() == "run run "


def test_fingerprint_sees_names_and_contents_but_no_compiled_python(book, monkeypatch):
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    from rerun import fingerprint

    package = book / "src/forward_stability"
    (package / "a.py").write_text("x = 1")
    first = fingerprint(book)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.pyc").write_bytes(b"compiled")
    assert fingerprint(book) == first
    (package / "a.py").write_text("x = 2")
    second = fingerprint(book)
    (package / "a.py").rename(package / "b.py")
    third = fingerprint(book)
    (book / "results" / "run").mkdir()
    (book / "results" / "run" / "result.json").write_text("{}")
    assert len({first, second, third, fingerprint(book)}) == 4
