"""How the tests are shared out among processes, one thread of torch each.

Several threads of several processes would wait for one another in turns on a busy machine. What
shares something slow stays together: the cells of a notebook, the tests of a page, else of a file.
"""

import os
import re

from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by kernels and other processes


class Shares(LoadScopeScheduling):
    """Tests that belong together go to one process."""

    def _split_scope(self, nodeid: str) -> str:
        page = re.search(r"test_site\.py::.*\[(\S+\.html)", nodeid)
        return page[1] if page else nodeid.split("::")[0]


def pytest_xdist_auto_num_workers(config):
    """Two more than cores: tests often wait, for a browser or for a process that they killed."""
    return (os.cpu_count() or 1) + 2


def pytest_xdist_make_scheduler(config, log):
    return Shares(config, log)
