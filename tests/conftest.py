"""Settings and fixtures that all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import firefox as firefox_browser
import pytest
from browser import find_chromium, launch
from builders import write_pictures
from firefox import Firefox, find_firefox
from playwright.sync_api import Browser

# Tests see what a reader's kernel sees; those of pages set the variable themselves.
os.environ.pop("FORWARD_STABILITY_PAGE", None)


def _found(name: str, executable: str | None, required: str) -> str:
    """The path of a browser; without it tests are skipped, or fail if a variable requires it."""
    if executable is None:
        if os.environ.get(required) == "1":
            pytest.fail(f"no {name} was found, and {required}=1")
        pytest.skip(f"no {name} was found")
    return executable


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch(_found("Chromium", find_chromium(), "REQUIRE_BROWSER")) as browser:
        yield browser


@pytest.fixture(scope="module")
def firefox() -> Iterator[Firefox]:
    with firefox_browser.launch(_found("Firefox", find_firefox(), "REQUIRE_FIREFOX")) as browser:
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
