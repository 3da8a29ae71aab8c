"""A Sphinx extension: chapters that are not in the cache are executed side by side.

MyST-NB executes a chapter when it reads its page, one after another. Before it begins, those whose
outputs are missing are executed by jupyter-cache's own worker in a process a core, with one thread
of torch each: several would wait for one another in turns. What fails there is executed again by
MyST-NB, which says what is wrong.
"""

import multiprocessing
import os
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, ProcessData
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def execute(_app: Sphinx, env: BuildEnvironment, pages: list[str]) -> None:
    """Fill the cache with the outputs of the notebooks among the pages that are to be read."""
    settings = env.mystnb_config  # type: ignore[attr-defined]
    paths = [Path(env.doc2path(page)) for page in pages]
    notebooks = [path for path in paths if path.suffix == ".ipynb"]
    if settings.execution_mode != "cache" or not notebooks:
        return
    cache = get_cache(settings.execution_cache_path)
    for path in notebooks:
        cache.add_nb_to_project(str(path))
    records: list[Any] = cache.list_unexecuted()  # SQLAlchemy types their fields as columns
    # The largest first: the last one to end should not be one of the longest.
    records.sort(key=lambda record: Path(record.uri).stat().st_size, reverse=True)
    timeout = settings.execution_timeout
    jobs = [ProcessData(r.pk, r.uri, cache, timeout, allow_errors=False) for r in records]
    with multiprocessing.Pool() as pool:
        pool.map(ExecutionWorkerLocalMProc(), jobs, chunksize=1)


def setup(app: Sphinx) -> dict:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the kernels
    app.connect("env-before-read-docs", execute)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
