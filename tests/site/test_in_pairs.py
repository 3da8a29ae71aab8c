"""Chapters are executed two at a time, and what fails is said as before."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

EXTENSIONS = Path(__file__).resolve().parents[2] / "book" / "_ext"

MEETING = """
import time
from pathlib import Path
Path("{mine}").touch()
with Path("runs.txt").open("a") as file:
    file.write("{mine} ")
end = time.monotonic() + 60
while not Path("{other}").exists():
    assert time.monotonic() < end, "the other one is not executed meanwhile"
    time.sleep(0.02)
print("{mine} has met", "{other}")
"""


def build(folder: Path, **sources: str) -> subprocess.CompletedProcess[str]:
    """Build a book of one page a source."""
    for name, source in sources.items():
        notebook = new_notebook(cells=[new_code_cell(source)])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, folder / f"{name}.ipynb")
    settings = ["extensions=myst_nb,in_pairs", "nb_execution_mode=cache", "root_doc=one"]
    settings += ["nb_execution_raise_on_error=1"]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-C", *(f"-D{s}" for s in settings), ".", "_build/html"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXTENSIONS)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_two_chapters_are_executed_at_once_and_once(tmp_path: Path):
    """Each waits for the other, so that one after the other would not end."""
    first = MEETING.format(mine="a", other="b")
    second = MEETING.format(mine="b", other="a")
    for _ in range(2):  # the second time they are in the cache
        done = build(tmp_path, one=first, two=second)
        assert done.returncode == 0, done.stderr
        for page, text in (("one", "a has met b"), ("two", "b has met a")):
            assert text in (tmp_path / f"_build/html/{page}.html").read_text("utf-8")
        assert sorted((tmp_path / "runs.txt").read_text().split()) == ["a", "b"]


@pytest.mark.slow
def test_a_chapter_that_fails_is_named(tmp_path: Path):
    done = build(tmp_path, one="print(1)", two="raise KeyError('gone')")
    assert done.returncode != 0
    assert "two.ipynb" in done.stderr
    assert "ExecutionError" in done.stderr
