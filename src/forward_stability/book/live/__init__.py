"""Trained networks that run in the reader's browser, with a kernel or without one.

``network.js`` evaluates what :mod:`~forward_stability.book.export` writes, and ``normal.js`` draws
the noise that :func:`~forward_stability.experiments.noise.seeded_normal` draws; ``worker.js`` runs
both beside the page. An explorer is one more file, which ``explorer.js`` starts in its element.
:mod:`~forward_stability.book.live.compose` makes one ES module of them, which serves two hosts: an
anywidget in a kernel, and a few lines of script on a page. Chapters 12 and 14.
"""

import base64
import hashlib
import json
import string
import uuid
from collections.abc import Mapping
from importlib import resources
from typing import Any, ClassVar

import anywidget
import traitlets

from forward_stability.book.figures import on_page
from forward_stability.book.live.compose import compose, parts


def modules(explorer: str) -> list[str]:
    """The parts of the ES module of an explorer or figure; that of its worker's text is one."""
    worker = json.dumps(compose("worker"))
    return parts(explorer, {"worker_source": f"export const WORKER = {worker};"})


def resource(name: str) -> str:
    """The text of a file of this package."""
    return resources.files(__name__).joinpath(name).read_text("utf-8")


def style() -> str:
    """The style sheet of explorers and live figures."""
    return resource("drawing.css") + resource("explorer.css")


def for_host(
    explorer: str, spec: Mapping[str, Any], files: Mapping[str, bytes], text: str
) -> "Widget | Page":
    """An explorer for the place where it is shown: a kernel or a page.

    Args:
        explorer: the JavaScript module that defines it, such as ``noise_explorer``.
        spec: what it shows, in plain types.
        files: exported networks and images, by the names that ``spec`` uses.
        text: what stands for it where no script runs; the same whatever the data at hand.
    """
    return (Page if on_page() else Widget)(explorer, dict(spec), dict(files), text)


class Widget(anywidget.AnyWidget):
    """An explorer in a running kernel: JupyterLab, Colab or VS Code."""

    spec = traitlets.Dict().tag(sync=True)
    files = traitlets.Dict().tag(sync=True)

    def __init__(
        self, explorer: str, spec: dict[str, Any], files: dict[str, bytes], text: str
    ) -> None:
        self.text = text
        self._esm, self._css = "\n".join(modules(explorer)), style()
        super().__init__(spec=spec, files=files)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, without any of its images, and its text."""
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle
        return data | {"text/plain": self.text}, metadata


class Page:
    """An explorer on a page without a kernel.

    What several explorers of one page need, such as a network or the stage, is carried by the first
    of them: texts as they are, which compress well, and files in base64.
    """

    carried: ClassVar[set[str]] = set()
    """The digests of what this kernel has put on its page."""

    def __init__(
        self,
        explorer: str,
        spec: dict[str, Any],
        files: dict[str, bytes],
        text: str,
        state: dict[str, Any] | None = None,
        still: str = "",
    ) -> None:
        self.spec, self.text, self.state, self.still = spec, text, state or {}, still
        self.modules, self.files = modules(explorer), files

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        carried: list[str] = []

        def carry(text: str) -> str:
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            if digest not in self.carried:
                self.carried.add(digest)
                carried.append(f'<script type="text/plain" data-live="{digest}">{text}</script>')
            return digest

        needs = {
            "modules": [carry(text) for text in self.modules],
            "style": carry(style()),
            "files": {
                name: carry(base64.b64encode(content).decode())
                for name, content in self.files.items()
            },
            "spec": self.spec,
            "state": self.state,
        }
        page = string.Template(resource("page.html")).substitute(
            id=self.spec.get("name") or f"live-{uuid.uuid4().hex[:12]}",
            still=self.still,
            carried="\n".join(carried),
            needs=json.dumps(needs).replace("</", "<\\/"),
        )
        return {"text/html": page, "text/plain": self.text}
