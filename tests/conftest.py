"""Settings and fixtures that all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import find_chromium, launch
from builders import write_pictures
from playwright.sync_api import Browser

# Tests see what a reader's kernel sees; those of pages set the variable themselves.
os.environ.pop("FORWARD_STABILITY_PAGE", None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("no Chromium was found, and REQUIRE_BROWSER=1")
        pytest.skip("no Chromium was found")
    with launch(executable) as browser:
        yield browser


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for data."""
    monkeypatch.setenv("FORWARD_STABILITY_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def pictures(tmp_path: Path, root: Path) -> str:
    """The name of a data set: a folder of ten training and six test pictures of 7x6 pixels."""
    return write_pictures(tmp_path / "images", {"a": 0, "b": 0})
