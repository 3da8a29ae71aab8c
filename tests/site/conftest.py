"""The built book on a server."""

from collections.abc import Iterator

import pytest
from browser import serve


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serve() as address:
        yield address
