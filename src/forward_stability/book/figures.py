"""One look for all figures, and alternative text for each.

Figures are drawn small with large type, so that they can be read on a phone; every figure that a
chapter shows passes through :func:`show`, which asks for alternative text.
"""

import base64
import html
import io
import os
import uuid
from typing import Any

import matplotlib as mpl
import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from forward_stability.book.drawing import TINTED, draw_svg
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
    "axes.titlesize": "medium",
    "legend.fontsize": "medium",
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 2.0,
    "figure.constrained_layout.use": True,
}

DENSITY = 110
"""The pixels of CSS that an inch of a figure takes where there is room."""

PHONE, LEAST = 312, 11
"""The width of a column on a phone of 360 pixels, and the size of text there, in pixels of CSS."""

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
        width, height: in inches.
        kwargs: passed on to ``Figure.subplots``.

    Returns:
        the figure and its axes, as ``plt.subplots`` gives them.
    """
    with mpl.rc_context(STYLE | {"font.size": least_size(width)}):
        fig = Figure(figsize=(width, height))
        axes = fig.subplots(nrows, ncols, **kwargs)
    return fig, axes


def least_size(width: float) -> float:
    """The least size of text, in points, in a figure that is ``width`` inches wide."""
    return 72 * LEAST / min(DENSITY, PHONE / width)


def prepare(fig: Figure) -> None:
    """Enlarge text that a phone would show smaller than :data:`LEAST`; leave pixels as squares."""
    least = least_size(fig.get_figwidth())
    with mpl.rc_context(STYLE):
        fig.draw_without_rendering()  # it makes the labels of the axes
    for text in fig.findobj(Text):
        text.set_fontsize(max(text.get_fontsize(), least))
    for image in fig.findobj(AxesImage):
        image.set_interpolation("none")


def page_size(fig: Figure) -> tuple[int, int]:
    """The width and the height at which a figure is shown, in pixels of CSS."""
    return round(DENSITY * fig.get_figwidth()), round(DENSITY * fig.get_figheight())


def picture(fig: Figure) -> Image.Image:
    """The figure drawn as an RGB image, with two dots for a pixel of CSS each way."""
    prepare(fig)
    with mpl.rc_context(STYLE):
        fig.set_dpi(2 * DENSITY)
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def drawing(fig: Figure, prefix: str) -> str:
    """The figure as an ``<svg>`` for a page; its identifiers begin with ``prefix``."""
    prepare(fig)
    for image in fig.findobj(AxesImage):
        if _is_tinted(image):
            image.set_gid(TINTED)
    with mpl.rc_context(STYLE):
        return draw_svg(fig, prefix)


def _is_tinted(image: AxesImage) -> bool:
    """Whether an image shows numbers in colours; photographs and grey images do not."""
    values = image.get_array()
    shades = image.get_cmap()(np.linspace(0, 1, 9))[:, :3]
    return values is not None and values.ndim == 2 and bool(np.ptp(shades, axis=1).max() > 0.1)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The image as the bytes of a file; ``kind`` is a Pillow format such as "PNG" or "WEBP"."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


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
    text = {"text/plain": f"<figure: {alt}>"}
    width, height = page_size(fig)
    if on_page():
        svg = drawing(fig, f"figure-{uuid.uuid4().hex[:8]}-")
        text["text/html"] = (
            f'<div class="figure" role="img" aria-label="{html.escape(alt)}" '
            f'style="width: {width}px">{svg}</div>'
        )
        display(text, raw=True)
    else:
        stored = picture(fig).quantize(256)  # half the size of the file that is committed
        png = base64.b64encode(encode(stored, "PNG", optimize=True)).decode()
        about = {"alt": alt, "width": width, "height": height}
        display(text | {"image/png": png}, metadata={"image/png": about}, raw=True)
