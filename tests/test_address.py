"""One address: all files agree with ``_config.yml``, and one command changes it in all of them."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import address
import pytest
import yaml

ROOT = address.ROOT
OTHER = "https://github.com/ada-l/stable-book"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the files that say where the project lives."""
    for file in {*(file for file, _, _ in address.PLACES), "book/04_growth.ipynb"}:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_all_files_agree(capsys):
    assert address.main(["--check"]) == 0, capsys.readouterr().out
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    used = re.compile(rf"https?://(?:www\.)?github\.com/[\w.-]+/{address.current().split('/')[-1]}")
    for name in filter(None, files):
        if name != "tests/test_address.py":
            text = (ROOT / name).read_text("utf-8", errors="replace")
            assert set(used.findall(text)) <= {address.current(), address.UNPUBLISHED}, name


@pytest.mark.parametrize(("file", "pattern", "form"), address.PLACES)
def test_every_place_is_there_once(file, pattern, form):
    text = (ROOT / file).read_text("utf-8").replace("\\n", "\n").replace('",\n    "', "")
    assert len(pattern.findall(text)) == 1


def test_one_command_writes_it_everywhere(copy, capsys):
    assert address.main(["--check", OTHER], copy) == 1
    out = capsys.readouterr().out
    assert "pyproject.toml: another address" in out
    assert f"run `python tools/address.py {OTHER}` and commit" in out
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert address.main([OTHER], copy) == 0
    assert address.current(copy) == OTHER
    assert address.main(["--check"], copy) == 0
    for path in before:
        text = path.read_text("utf-8")
        assert address.current() not in text
        assert OTHER in text
    assert "cd stable-book && make lab" in (copy / "book" / "00_start.ipynb").read_text("utf-8")
    first = f'    source = \\"git+{OTHER}\\"\\n'
    assert first in (copy / "book" / "04_growth.ipynb").read_text("utf-8")
    assert address.main([address.current()], copy) == 0  # and back, to the last byte
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "wrong",
    [
        *("https://github.com/a_b/c", "http://github.com/a/c", "https://github.com/a", "a/c"),
        *("https://github.com/-a/c", "https://github.com/a/c/d", 'https://github.com/a/"c'),
    ],
)
def test_what_is_no_address_is_refused(copy, capsys, wrong):
    with pytest.raises(SystemExit) as exit_:
        address.main([wrong], copy)
    assert exit_.value.code == 2
    assert address.current(copy) == address.current()


def test_before_there_is_an_address_the_first_cell_says_so_in_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit) as exit_:
        exec(address.first_cell(None), {})
    assert str(exit_.value) == "This book is not published yet: take a copy, and run make lab."
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: "there")
    exec(address.first_cell(None), {})


def test_the_public_workflow_compares_before_it_publishes():
    text = (ROOT / ".github" / "workflows" / "book.yml").read_text("utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    assert "address" in jobs["publish"]["needs"]
    (command,) = (step["run"] for step in jobs["address"]["steps"] if "run" in step)
    assert command.startswith('python tools/address.py --check "')
