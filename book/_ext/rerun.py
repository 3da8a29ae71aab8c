"""A Sphinx extension: chapters are executed for a page, and again when the package has changed.

Jupyter Book's cache compares the cells of a chapter only. Here a fingerprint of the package and of
the results that chapters read is kept beside the cache; where it differs, the cache is emptied.
Pages are written afresh when the contents or the settings have changed: none stays behind.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

INPUTS = ("src/forward_stability", "results")
"""The folders that chapters depend on, relative to the root of the repository."""


def fingerprint(root: Path, folders: Iterable[str] = INPUTS) -> str:
    """A digest of the names and contents of all files in the folders, without compiled Python."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(root).as_posix()
                digest.update(f"{name}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def forget_old_results(app: Sphinx, config: Config) -> None:
    """Empty the cache of outputs, and have all pages read again, if the inputs have changed."""
    now, build = fingerprint(Path(app.srcdir)), Path(app.outdir).parent
    record = build / ".package-fingerprint"
    if not record.exists() or record.read_text("utf-8") != now:
        cache = config.nb_execution_cache_path or build / ".jupyter_cache"
        shutil.rmtree(cache, ignore_errors=True)
        forget_pages(app)
        build.mkdir(parents=True, exist_ok=True)
        record.write_text(now, "utf-8")


def forget_pages(app: Sphinx) -> None:
    """Have all pages read again; those whose outputs are cached are not executed for it."""
    (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def remove_old_pages(app: Sphinx, _config: Config) -> None:
    index = Path(app.outdir) / "index.html"
    settings = [Path(app.srcdir) / name for name in ("_toc.yml", "_config.yml")]
    times = [path.stat().st_mtime for path in settings if path.exists()]
    if index.exists() and index.stat().st_mtime < max(times, default=0):
        shutil.rmtree(app.outdir)


def warn_again(app: Sphinx, exception: Exception | None) -> None:
    """Sphinx warns of a page only when it reads it: after a warning, let it read all again."""
    if exception is not None or app._warncount:
        forget_pages(app)


def setup(app: Sphinx) -> dict:
    os.environ["FORWARD_STABILITY_PAGE"] = "1"  # inherited by the kernels; see figures.on_page
    app.connect("config-inited", forget_old_results)
    app.connect("config-inited", remove_old_pages)
    app.connect("build-finished", warn_again)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
