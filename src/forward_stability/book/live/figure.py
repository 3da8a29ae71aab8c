"""Live figures: mathematics small enough to be computed where the reader drags it.

A figure is one JavaScript module, such as ``figure_corner.js``, on the stage of ``stage.js``. The
same module draws it on a page, in a kernel (an anywidget, whose ``state`` Python reads and sets)
and, in a JavaScript engine of Python's, the still picture for readers without either. Chapters 0
to 11, and 15.
"""

import html
import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import anywidget
import traitlets
from py_mini_racer import MiniRacer, init_mini_racer

from forward_stability.book.figures import on_page
from forward_stability.book.live import Page, resource, style
from forward_stability.book.live.compose import compose

WIDTH = 640
"""The width of a still picture, in pixels."""


@cache
def engine(module: str) -> MiniRacer:
    """A JavaScript engine in which what the composed module exports stands as ``exported``.

    It is made in a thread without an event loop, and so gets one of its own: it would take the one
    that runs here (a kernel's, a browser's), and end with it. V8 starts before that thread, which
    inherits the right to V8's memory; no other thread would get it (memory protection keys).
    """
    init_mini_racer(ignore_duplicate_init=True)
    with ThreadPoolExecutor(1) as thread:
        script = thread.submit(MiniRacer).result()
    script.eval(module.replace("export default", "globalThis.exported ="))
    return script


def evaluate(module: str, expression: str) -> Any:
    """The value of an expression that speaks of ``exported``."""
    return json.loads(str(engine(module).eval(f"JSON.stringify({expression})")))


def still(name: str, state: dict[str, Any]) -> tuple[str, str]:
    """The picture of a state as SVG, and the sentence below it."""
    call = f"exported.still({json.dumps(state)}, {WIDTH})"
    made = evaluate(compose(f"figure_{name}"), call)
    words = (part if isinstance(part, str) else part[1] for part in made["words"])
    return made["svg"], "".join(words)


def live(name: str, alt: str, **state: Any) -> "LiveFigure | Page":
    """A live figure for the place where it is shown: a kernel or a page.

    Args:
        name: of the module ``figure_NAME.js``; ``#NAME?tau=2`` in the address of the page, or in a
            link of the text, sets its state.
        alt: what the figure shows, for readers who cannot see it.
        state: entries of its state that differ from the module's own start.
    """
    if not on_page():
        return LiveFigure(name, alt, state)
    svg, words = still(name, state)
    picture = (
        f'<div class="fs-still fs-live fs-stage"><div role="img" aria-label="{html.escape(alt)}">'
        f"{svg}</div><p>{html.escape(words)}</p></div>"
    )
    spec, text = {"name": name, "alt": alt}, f"<live figure: {alt} {words}>"
    return Page(f"figure_{name}", spec, {}, text, state, picture)


class LiveFigure(anywidget.AnyWidget):
    """A live figure in a running kernel: JupyterLab, Colab or VS Code."""

    spec = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, name: str, alt: str, state: dict[str, Any]) -> None:
        self._esm, self._css = compose(f"figure_{name}"), style()
        super().__init__(spec={"name": name, "alt": alt}, state=state)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and a still picture for a viewer that runs none."""
        data, metadata = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        svg, words = still(self.spec["name"], self.state)
        style = f"<style>{resource('drawing.css')}</style>"
        picture = svg.replace("<svg ", '<svg class="fs-live fs-stage" ', 1).replace(
            "<g ", f"{style}<g ", 1
        )
        text = f"<live figure: {self.spec['alt']} {words}>"
        return data | {"image/svg+xml": picture, "text/plain": text}, metadata
