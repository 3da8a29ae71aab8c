"""How the tests are shared out among processes, one thread of torch each.

Several threads of several processes would wait for one another in turns on a busy machine. What
shares something slow stays together: the cells of a notebook, the tests of a page, else of a file.
"""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by kernels and other processes


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        page = getattr(item, "callspec", None)
        params = page.params if page else {}
        group = str(params["visit"]) if "visit" in params else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
