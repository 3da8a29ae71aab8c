"""A Sphinx extension: chapters that are not in the cache are executed side by side.

MyST-NB executes a chapter when it reads its page, one after another. Before it begins, those whose
outputs are missing go through jupyter-cache's own pool, a process a core, with one thread of torch
each: several would wait for one another in turns. What fails there is executed again by MyST-NB,
which says what is wrong.
"""

import logging
import os

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def execute(_app: Sphinx, env: BuildEnvironment, pages: list[str]) -> None:
    """Fill the cache with the outputs of the notebooks among the pages that are to be read."""
    settings = env.mystnb_config  # type: ignore[attr-defined]
    if settings.execution_mode != "cache":
        return
    paths = [str(env.doc2path(page)) for page in pages]
    notebooks = [path for path in paths if path.endswith(".ipynb")]
    cache = get_cache(settings.execution_cache_path)
    for path in notebooks:
        cache.add_nb_to_project(path)
    executor = load_executor("local-parallel", cache, logging.getLogger(__name__))
    executor.run_and_cache(filter_uris=notebooks, timeout=settings.execution_timeout)


def setup(app: Sphinx) -> dict:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the kernels
    app.connect("env-before-read-docs", execute)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
