"""Questions with a numeric answer that is checked at once, in a kernel and on a static page.

The answer is computed by the chapter that asks, so it cannot differ from what the chapter teaches.
In a kernel :func:`question` returns an ipywidget; in a book build, HTML that needs no kernel and no
other file. There the answer is encoded, so that a glance at the page does not give it away. What a
reader may type is said in ``book/answer.py``.
"""

import base64
import html
import json
import math
import string
import uuid
from importlib import resources
from typing import Any

import ipywidgets

from forward_stability.book.answer import right, verdict
from forward_stability.book.figures import on_page
from forward_stability.book.live.compose import compose
from forward_stability.errors import InputError

START = string.Template("""\
import { ask } from "./question.js";
ask(document.getElementById("$id"));
""")


def question(prompt: str, answer: float, *, tol: float, hint: str) -> "Question | Form":
    """A question, a field for the answer and a button that checks it. End a cell with it.

    Args:
        prompt: the question, in plain text.
        answer: the right answer, computed (a float, a 0-d tensor or array).
        tol: the largest error that counts as right.
        hint: shown after a wrong answer.

    Returns:
        in a kernel a :class:`Question` (an ipywidget), in a book build a :class:`Form`.

    Raises:
        InputError: if ``answer`` is not finite, or ``tol`` is negative.
    """
    answer = float(answer)
    if not math.isfinite(answer):
        raise InputError(f"answer must be a finite number, got {answer}")
    if tol < 0:
        raise InputError(f"tol must not be negative, got {tol}")
    return (Form if on_page() else Question)(prompt, answer, tol, hint)


class Question(ipywidgets.VBox):
    """The question in a running kernel."""

    def __init__(self, prompt: str, answer: float, tol: float, hint: str) -> None:
        self.prompt, self._answer, self._tol, self._hint = prompt, answer, tol, hint
        self.field = ipywidgets.Text(continuous_update=False, placeholder="your answer")
        self.button = ipywidgets.Button(description="Check")
        self.verdict = ipywidgets.Label()
        self.field.observe(self.check, "value")
        self.button.on_click(self.check)
        row = ipywidgets.HBox([self.field, self.button])
        super().__init__([ipywidgets.Label(prompt), row, self.verdict])

    def check(self, _change: Any = None) -> None:
        """Judge what stands in the field."""
        self.verdict.value = verdict(self.field.value, self._answer, self._tol, self._hint)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"] = f"<question: {self.prompt}>"
        return bundle


class Form:
    """The question as HTML, for a page without a kernel."""

    def __init__(self, prompt: str, answer: float, tol: float, hint: str) -> None:
        self.prompt = prompt
        content = json.dumps([answer, tol, right(answer, tol), hint])
        self.content = base64.b64encode(content.encode()).decode()

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        template = (
            resources.files("forward_stability.book").joinpath("question.html").read_text("utf-8")
        )
        name = f"question-{uuid.uuid4().hex[:12]}"
        page = string.Template(template).substitute(
            id=name,
            prompt=html.escape(self.prompt),
            content=self.content,
            script=compose("form", {"form": START.substitute(id=name)}),
        )
        return {"text/html": page, "text/plain": f"<question: {self.prompt}>"}
