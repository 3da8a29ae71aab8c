"""A Sphinx extension: chapters that are not in the cache are executed two at a time.

MyST-NB executes each one when it reads it, one after the other, while other processors have nothing
to do. Here they are executed beforehand, and it finds them in its cache. A chapter that fails is
left to it: it executes the chapter again, and says what is wrong.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from jupyter_cache.executors.utils import single_nb_execution
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

AT_ONCE = 2
"""Each has loaded PyTorch: more of them would need more memory than every computer has."""


def is_cached(cache: JupyterCacheAbstract, notebook: nbformat.NotebookNode) -> bool:
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


def execute(app: Sphinx, env: BuildEnvironment, pages: Sequence[str]) -> None:
    """Execute the notebooks among the pages that are not in the cache, and put them there."""
    folder = app.config.nb_execution_cache_path or Path(app.outdir).parent / ".jupyter_cache"
    cache, timeout = get_cache(folder), app.config.nb_execution_timeout

    def run(path: Path) -> CacheBundleIn | None:
        notebook = nbformat.read(path, as_version=4)
        result = single_nb_execution(notebook, str(path.parent), timeout, allow_errors=False)
        data = {"execution_seconds": result.time}
        return None if result.err else CacheBundleIn(notebook, str(path), data=data)

    paths = [path for page in pages if (path := Path(env.doc2path(page))).suffix == ".ipynb"]
    waiting = [p for p in paths if not is_cached(cache, nbformat.read(p, as_version=4))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for bundle in pool.map(run, waiting):
            if bundle is not None:
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def setup(app: Sphinx) -> dict:
    cores = os.cpu_count() or 1  # inherited by the kernels, whose threads would be in their way
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // AT_ONCE)))
    app.connect("env-before-read-docs", execute)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
