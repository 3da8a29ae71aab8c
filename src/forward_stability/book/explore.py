"""Sliders that live twice: in a running kernel, and on a static page.

:func:`explore` takes a function that draws a figure and, for each of its arguments, a list of
values. In a kernel it returns ipywidgets controls that redraw the figure. In a book build it draws
a frame for every combination with the same function and returns HTML in which a labelled,
keyboard-operable slider changes the frame: no kernel, no other host, and it works from ``file://``.
"""

import base64
import html
import itertools
import json
import string
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import ipywidgets
from matplotlib.figure import Figure
from PIL import Image

from forward_stability.book.figures import data_uri, encode, on_page, picture
from forward_stability.errors import InputError

BUDGET = 300_000
"""The most bytes that the frames of one figure may take on a page."""

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
    return kind(draw, alt, labels, start, {name: list(v) for name, v in values.items()})


def _is_list(options: Sequence[Any]) -> bool:
    """Whether the options are words (a drop-down list) rather than numbers (a slider)."""
    return any(isinstance(option, str) for option in options)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _alt(alt: Alt, values: dict[str, Any]) -> str:
    return alt if isinstance(alt, str) else alt(**values)


class Explorer(ipywidgets.VBox):
    """The controls and the figure in a running kernel."""

    def __init__(
        self,
        draw: Draw,
        alt: Alt,
        labels: dict[str, str],
        start: dict[str, Any],
        values: dict[str, list[Any]],
    ) -> None:
        self._draw, self._alt = draw, alt
        self.controls: dict[str, Any] = {}
        for name, options in values.items():
            kind = ipywidgets.Dropdown if _is_list(options) else ipywidgets.SelectionSlider
            self.controls[name] = kind(
                options=[(_text(option), option) for option in options],
                value=start[name],
                description=labels[name],
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
        self.image.value = encode(picture(self._draw(**self.selected)), "PNG")

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and the current picture for a viewer that has no kernel to run it."""
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        bundle["image/png"] = base64.b64encode(self.image.value).decode()
        bundle["text/plain"] = f"<explorer: {_alt(self._alt, self.selected)}>"
        return bundle


class Frames:
    """The controls and all frames as HTML, for a page without a kernel."""

    def __init__(
        self,
        draw: Draw,
        alt: Alt,
        labels: dict[str, str],
        start: dict[str, Any],
        values: dict[str, list[Any]],
    ) -> None:
        self.labels, self.start, self.values = labels, start, values
        combinations = [
            dict(zip(values, combination, strict=True))
            for combination in itertools.product(*values.values())
        ]
        self.alts = [_alt(alt, combination) for combination in combinations]
        images = [picture(draw(**combination)) for combination in combinations]
        self.size = images[0].size
        self.frames = compress(images)

    def _control(self, identifier: str, axis: int, name: str) -> str:
        options = self.values[name]
        words = [_text(option) for option in options]
        index = options.index(self.start[name])
        identifier = f"{identifier}-{axis}"
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
        label = f'<label for="{identifier}">{html.escape(self.labels[name])}</label>'
        return f'<div class="explore-control">{label}{control}</div>'

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        shape = [len(options) for options in self.values.values()]
        first = 0
        for length, (name, options) in zip(shape, self.values.items(), strict=True):
            first = first * length + options.index(self.start[name])
        sources = [data_uri(frame, "WEBP") for frame in self.frames]
        frames = [{"src": s, "alt": a} for s, a in zip(sources, self.alts, strict=True)]
        template = (
            resources.files("forward_stability.book").joinpath("explore.html").read_text("utf-8")
        )
        identifier = f"explore-{uuid.uuid4().hex[:12]}"
        page = string.Template(template).substitute(
            id=identifier,
            shape=json.dumps(shape),
            alt=html.escape(self.alts[first]),
            first=sources[first],
            width=self.size[0],
            height=self.size[1],
            controls="\n".join(self._control(identifier, i, n) for i, n in enumerate(self.values)),
            frames=json.dumps(frames).replace("</", "<\\/"),
        )
        return {"text/html": page, "text/plain": f"<explorer: {self.alts[first]}>"}


def _reduce(image: Image.Image, colours: int) -> Image.Image:
    """The image in a few colours that span those in it, so that thin lines keep their hue."""
    few = image.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    return few.convert("RGB")


def compress(images: Sequence[Image.Image], budget: int = BUDGET) -> list[bytes]:
    """The frames as WebP, lossless where they fit the budget, else as good as fits.

    Args:
        images: the frames.
        budget: the most bytes for all of them together, as base64 (4 bytes for 3).

    Raises:
        InputError: if even a coarse encoding is too large; draw fewer or smaller frames.
    """
    size = 0
    for colours, options in (
        (None, {"lossless": True, "method": 2}),  # half the time of the default, no larger
        (64, {"lossless": True, "method": 2}),
        (32, {"lossless": True, "method": 2}),
        (None, {"quality": 75}),
        (None, {"quality": 50}),
    ):
        frames = [
            encode(_reduce(image, colours) if colours else image, "WEBP", **options)
            for image in images
        ]
        size = sum(4 * len(frame) // 3 for frame in frames)
        if size <= budget:
            return frames
    raise InputError(
        f"{len(images)} frames take {size:,} bytes, more than the {budget:,} a figure may: "
        "give fewer values, or draw a smaller figure"
    )
