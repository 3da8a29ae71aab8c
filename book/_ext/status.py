"""A Sphinx extension: the directive ``build-status`` says how and where this book was built.

``environment`` lists versions, commit and hardware, ``data`` the data sets that are there, and
``times`` the run time of every notebook in its last execution, the slowest first. A notebook that
comes from the cache keeps the time of the build that executed it.
"""

import datetime
import importlib.metadata
import os
from collections.abc import Iterable, Sequence

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "jupyter-book", "sphinx")


class RunTimes(nodes.General, nodes.Element):
    """The place of the table of run times, which is filled when all pages have been read."""


def table(heads: Sequence[str], rows: Iterable[Sequence[nodes.Node | str]]) -> nodes.table:
    """A table of texts or inline nodes with one line of headings."""

    def line(cells: Sequence[nodes.Node | str]) -> nodes.row:
        texts = [nodes.Text(cell) if isinstance(cell, str) else cell for cell in cells]
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", t)) for t in texts))

    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in heads), cols=len(heads))
    group += nodes.thead("", line(heads))
    group += nodes.tbody("", *map(line, rows))
    return nodes.table("", group, classes=["colwidths-auto"])


def environment() -> nodes.table:
    from forward_stability.experiments.provenance import environment as describe

    found = describe("cpu")
    now = datetime.datetime.now(datetime.UTC)
    rows = [
        ("built", f"{now:%d %B %Y, %H:%M} UTC"),
        ("commit", found["commit"]),
        ("forward-stability", found["package"]),
        ("Python", found["python"]),
        *((name, importlib.metadata.version(name)) for name in LIBRARIES),
        ("processor", found["hardware"]),
        ("cores", str(os.cpu_count())),
    ]
    return table(("what", "which"), rows)


def data() -> nodes.table:
    from forward_stability.experiments.data import data_root
    from forward_stability.experiments.download import SETS

    rows = [("digits", "comes with scikit-learn")]
    for name in SETS:
        here = (data_root() / f"{name}.safetensors").is_file()
        rows.append((name, "here" if here else f"not here: forward-stability data {name}"))
    return table(("data set", "when the book was built"), rows)


class BuildStatus(SphinxDirective):
    """``build-status`` with ``environment``, ``data`` or ``times``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        makers = {"environment": environment, "data": data, "times": RunTimes}
        return [makers[self.arguments[0]]()]


def fill_times(app: Sphinx, document: nodes.document, page: str) -> None:
    """Put the table of run times in its place."""
    env = app.env
    assert env is not None
    pages = getattr(env, "nb_metadata", {})
    times = {
        name: entry["exec_data"]["runtime"] for name, entry in pages.items() if "exec_data" in entry
    }
    times = {name: seconds for name, seconds in times.items() if seconds is not None}
    rows = []
    for name in sorted(times, key=times.__getitem__, reverse=True):
        title = env.titles[name].astext()
        address = app.builder.get_relative_uri(page, name)
        rows.append((nodes.reference("", title, refuri=address), f"{times[name]:.1f}"))
    rows.append(("all pages", f"{sum(times.values()):.1f}"))
    for place in list(document.findall(RunTimes)):
        place.replace_self(table(("notebook", "seconds"), rows))


def read_again(app: Sphinx, env: BuildEnvironment, *_changes: set[str]) -> list[str]:
    """The page of the status is never up to date."""
    return [name for name in env.found_docs if name.endswith("/status")]


def setup(app: Sphinx) -> dict:
    app.add_node(RunTimes)
    app.add_directive("build-status", BuildStatus)
    app.connect("env-get-outdated", read_again)
    app.connect("doctree-resolved", fill_times)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
