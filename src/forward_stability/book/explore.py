"""Sliders that live twice: in a running kernel, and on a static page.

:func:`explore` takes a function that draws a figure and, for each of its arguments, a list of
values. In a kernel it returns ipywidgets controls that redraw the figure. In a book build it draws
a frame for every combination with the same function and returns HTML in which a labelled,
keyboard-operable slider changes the frame: no kernel, no other host, and it works from ``file://``.
"""

import base64
import gzip
import html
import itertools
import json
import string
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from forward_stability.book.figures import drawing, encode, on_page, page_size, picture
from forward_stability.errors import InputError

BUDGET = 300_000
"""The most bytes that the frames of one figure may take on a page, compressed."""

Draw = Callable[..., Figure]
Alt = str | Callable[..., str]


def explore(
    draw: Draw,
    /,
    *,
    alt: Alt,
    labels: Mapping[str, str] | None = None,
    start: Mapping[str, Any] | None = None,
    **values: Sequence[Any],
) -> "Explorer | Frames":
    """A figure with a control for each argument of the function that draws it.

    Numbers get a slider, strings a drop-down list. Make it the last line of a cell.

    Args:
        draw: draws the figure, called as ``draw(name=value, ...)``.
        alt: alternative text, or a function of the same arguments that returns it.
        labels: the name of each control for the reader, with its unit; default: the argument's.
        start: the value at which each control starts; default: the first.
        values: the values of each argument, e.g. ``sigma=[0, 0.02, 0.05]``.

    Returns:
        in a kernel an :class:`Explorer` (an ipywidget), in a book build a :class:`Frames`.

    Raises:
        InputError: if an argument has fewer than two values, ``labels`` or ``start`` name
            something else, or, in a book build, the frames do not fit the budget.
    """
    labels, start = dict(labels or {}), dict(start or {})
    if not values:
        raise InputError("explore needs at least one argument with a list of values")
    for name, options in values.items():
        if len(options) < 2:
            raise InputError(f"explore needs at least two values for {name!r}, got {len(options)}")
        if start.setdefault(name, options[0]) not in options:
            raise InputError(f"start of {name!r} is {start[name]!r}, not one of {list(options)}")
        labels.setdefault(name, name)
    for given in (labels, start):
        if unknown := set(given) - set(values):
            raise InputError(f"no argument named {sorted(unknown)}; there are {sorted(values)}")
    kind = Frames if on_page() else Explorer
    return kind(Choices(draw, alt, labels, start, {name: list(v) for name, v in values.items()}))


@dataclass(frozen=True)
class Choices:
    """What is drawn, and the values that each of its arguments may have."""

    draw: Draw
    alt: Alt
    labels: dict[str, str]
    start: dict[str, Any]
    values: dict[str, list[Any]]

    def describe(self, chosen: dict[str, Any]) -> str:
        """The alternative text of the figure for a value of each argument."""
        return self.alt if isinstance(self.alt, str) else self.alt(**chosen)

    def combinations(self) -> list[dict[str, Any]]:
        """All choices of a value for each argument; the last argument changes fastest."""
        chosen = itertools.product(*self.values.values())
        return [dict(zip(self.values, each, strict=True)) for each in chosen]


def _is_list(options: Sequence[Any]) -> bool:
    """Whether the options are words (a drop-down list) rather than numbers (a slider)."""
    return any(isinstance(option, str) for option in options)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class Explorer(ipywidgets.VBox):
    """The controls and the figure in a running kernel."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.controls: dict[str, Any] = {}
        for name, options in choices.values.items():
            kind = ipywidgets.Dropdown if _is_list(options) else ipywidgets.SelectionSlider
            self.controls[name] = kind(
                options=[(_text(option), option) for option in options],
                value=choices.start[name],
                description=choices.labels[name],
                style={"description_width": "initial"},
                layout={"width": "min(100%, 40em)"},
            )
            self.controls[name].observe(self._update, names="value")
        layout = {"max_width": "100%", "height": "auto", "align_self": "flex-start"}
        self.image = ipywidgets.Image(format="png", layout=layout)
        super().__init__([*self.controls.values(), self.image])
        self._update()

    @property
    def selected(self) -> dict[str, Any]:
        """The value at which each control stands."""
        return {name: control.value for name, control in self.controls.items()}

    def _update(self, _change: Any = None) -> None:
        fig = self.choices.draw(**self.selected)
        self.image.width = str(page_size(fig)[0])
        self.image.value = encode(picture(fig), "PNG")

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and the current picture for a viewer that has no kernel to run it."""
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        bundle["image/png"] = base64.b64encode(self.image.value).decode()
        bundle["text/plain"] = f"<explorer: {self.choices.describe(self.selected)}>"
        return bundle


class Frames:
    """The controls and all frames as HTML, for a page without a kernel."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.identifier = f"explore-{uuid.uuid4().hex[:8]}"
        figures = [choices.draw(**chosen) for chosen in choices.combinations()]
        self.width = page_size(figures[0])[0]
        self.alts = [choices.describe(chosen) for chosen in choices.combinations()]
        self.frames = [drawing(fig, f"{self.identifier}-") for fig in figures]
        size = len(gzip.compress("".join(self.frames).encode()))
        if size > BUDGET:
            raise InputError(
                f"{len(figures)} frames take {size:,} bytes, more than the {BUDGET:,} a figure "
                "may: give fewer values, or draw less"
            )

    def _control(self, axis: int, name: str) -> str:
        options = self.choices.values[name]
        words = [_text(option) for option in options]
        index = options.index(self.choices.start[name])
        identifier = f"{self.identifier}-control-{axis}"
        if _is_list(options):
            items = "".join(
                f'<option value="{i}"{" selected" if i == index else ""}>{html.escape(w)}</option>'
                for i, w in enumerate(words)
            )
            control = (
                f'<select id="{identifier}" data-axis="{axis}" autocomplete="off">{items}</select>'
            )
        else:
            values = html.escape(json.dumps(words))
            width = max(len(word) for word in words)
            control = (
                f'<input id="{identifier}" type="range" data-axis="{axis}" autocomplete="off" '
                f'min="0" step="1" max="{len(words) - 1}" value="{index}" data-values="{values}">'
                f'<output for="{identifier}" style="width: {width}ch">'
                f"{html.escape(words[index])}</output>"
            )
        label = f'<label for="{identifier}">{html.escape(self.choices.labels[name])}</label>'
        return f'<div class="explore-control">{label}{control}</div>'

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        values = self.choices.values
        first = self.choices.combinations().index(
            {name: self.choices.start[name] for name in values}
        )
        frames = [{"svg": s, "alt": a} for s, a in zip(self.frames, self.alts, strict=True)]
        template = (
            resources.files("forward_stability.book").joinpath("explore.html").read_text("utf-8")
        )
        page = string.Template(template).substitute(
            id=self.identifier,
            shape=json.dumps([len(options) for options in values.values()]),
            alt=html.escape(self.alts[first]),
            first=self.frames[first],
            width=self.width,
            controls="\n".join(self._control(axis, name) for axis, name in enumerate(values)),
            frames=json.dumps(frames).replace("</", "<\\/"),
        )
        return {"text/html": page, "text/plain": f"<explorer: {self.alts[first]}>"}
