"""One look for all figures, and alternative text for each.

Figures are drawn small with large type, so that they can be read on a phone; every figure that a
chapter shows passes through :func:`show`, which asks for alternative text.
"""

import base64
import html
import io
import os
from typing import Any

import matplotlib as mpl
import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from forward_stability.errors import InputError

COLOURS = {
    "ResNet": "#b3541e",
    "ResNet-D": "#1f6f8b",
    "ResNet-S": "#5b3a8c",
    "bound": "#444444",
    "obstacle": "#c9c2b2",
    "accent": "#c2185b",
}
"""One colour a thing throughout the book; each pair also differs in lightness."""

STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 2.0,
    "figure.dpi": 130,
    "figure.constrained_layout.use": True,
    "image.interpolation": "nearest",
}

PAGE = "FORWARD_STABILITY_PAGE"
"""The environment variable by which a book build asks for pictures that need no kernel."""


def on_page() -> bool:
    """Whether the output is for a static page (a book build) rather than for a live kernel."""
    return os.environ.get(PAGE) == "1"


def figure(
    nrows: int = 1, ncols: int = 1, width: float = 5.2, height: float = 3.4, **kwargs: Any
) -> tuple[Figure, Any]:
    """A figure in the style of the book, not registered with pyplot (so nothing needs closing).

    Args:
        nrows, ncols: the grid of axes.
        width, height: in inches; at 130 dots an inch, 5.2 inches fill a column of text.
        kwargs: passed on to ``Figure.subplots``.

    Returns:
        the figure and its axes, as ``plt.subplots`` gives them.
    """
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(width, height))
        axes = fig.subplots(nrows, ncols, **kwargs)
    return fig, axes


def picture(fig: Figure) -> Image.Image:
    """The figure drawn as an RGB image."""
    with mpl.rc_context(STYLE):
        fig.set_dpi(STYLE["figure.dpi"])
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The image as the bytes of a file; ``kind`` is a Pillow format such as "PNG" or "WEBP"."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """The bytes of an image file as a ``data:`` address."""
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode()}"


def show(fig: Figure, alt: str) -> None:
    """Display a figure with alternative text.

    Args:
        fig: the figure.
        alt: what a reader who cannot see the figure should know of it.

    Raises:
        InputError: if ``alt`` is empty.
    """
    if not alt.strip():
        raise InputError("alt must say what the figure shows, for readers who cannot see it")
    image = picture(fig)
    text = {"text/plain": f"<figure: {alt}>"}
    if on_page():
        source = data_uri(encode(image, "WEBP", lossless=True), "WEBP")
        width, height = image.size
        text["text/html"] = (
            f'<img class="figure" alt="{html.escape(alt)}" src="{source}" '
            f'width="{width}" height="{height}">'
        )
        display(text, raw=True)
    else:
        png = base64.b64encode(encode(image, "PNG", optimize=True)).decode()
        display(text | {"image/png": png}, metadata={"image/png": {"alt": alt}}, raw=True)
