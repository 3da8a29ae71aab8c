"""Settings and fixtures that all tests share."""

import os
from collections.abc import Iterator

import pytest
from browser import find_chromium, launch
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
