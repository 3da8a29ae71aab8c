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
from sphinx.environment import BuildEnvironment

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


class Rerun:
    """The state of one build: the fingerprint now, and whether the last one differs."""

    def __init__(self, app: Sphinx) -> None:
        self.now = fingerprint(Path(app.srcdir))
        self.record = Path(app.outdir).parent / ".package-fingerprint"
        app.connect("config-inited", self.empty_cache)
        app.connect("config-inited", self.remove_old_pages)
        app.connect("env-get-outdated", self.outdated)
        app.connect("build-finished", self.remember)

    @property
    def stale(self) -> bool:
        """Whether the last complete build was made from other inputs (or there was none)."""
        return not self.record.exists() or self.record.read_text("utf-8") != self.now

    def empty_cache(self, app: Sphinx, config: Config) -> None:
        if self.stale:
            cache = config.nb_execution_cache_path or Path(app.outdir).parent / ".jupyter_cache"
            shutil.rmtree(cache, ignore_errors=True)

    def remove_old_pages(self, app: Sphinx, _config: Config) -> None:
        index = Path(app.outdir) / "index.html"
        settings = [Path(app.srcdir) / name for name in ("_toc.yml", "_config.yml")]
        times = [path.stat().st_mtime for path in settings if path.exists()]
        if index.exists() and index.stat().st_mtime < max(times, default=0):
            shutil.rmtree(app.outdir)

    def outdated(self, _app: Sphinx, env: BuildEnvironment, *_changes: set[str]) -> list[str]:
        """All notebooks, to be read (and so executed) again, if the inputs have changed."""
        names = env.found_docs if self.stale else ()
        return [name for name in names if str(env.doc2path(name)).endswith(".ipynb")]

    def remember(self, app: Sphinx, exception: Exception | None) -> None:
        if exception is None:
            self.record.write_text(self.now, "utf-8")
        if exception is not None or app._warncount:
            # Sphinx warns of a page only when it reads it: read all of them again next time.
            (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict:
    os.environ["FORWARD_STABILITY_PAGE"] = "1"  # inherited by the kernels; see figures.on_page
    Rerun(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
