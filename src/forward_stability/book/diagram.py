"""Boxes and arrows, for drawings of a network and its layers. Chapter 8."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from forward_stability.book.figures import COLOURS, figure

INK = COLOURS["bound"]

TINTS = {"filter": "#dbe9ee", "residual": "#e2d9ee", "fixed": "#f1ede2", "ReLU": "#ffffff"}
"""What a box is filled with: tinted boxes of a layer have trained parameters."""


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Empty axes, measured in inches from the top left corner."""
    fig, ax = figure(width=width, height=height)
    ax.axis("off")
    ax.set(xlim=(0, width), ylim=(height, 0))
    return fig, ax


def box(
    ax: Axes, x: float, y: float, text: str, tint: str = "fixed",
    width: float = 1.4, height: float = 0.36, size: float = 11,
) -> None:  # fmt: skip
    """A box with its centre at (x, y); ``tint`` is one of :data:`TINTS`."""
    shape = "round,pad=0,rounding_size=0.06"
    _patch(ax, x, y, width, height, boxstyle=shape, fc=TINTS[tint], ec=INK, lw=1.2)
    ax.text(x, y, text, ha="center", va="center", fontsize=size)


def sheet(ax: Axes, x: float, y: float, edge: float) -> None:
    """A square with its centre at (x, y), as one map of features."""
    style = {"fc": TINTS["residual"], "ec": COLOURS["ResNet-S"]}
    _patch(ax, x, y, edge, edge, boxstyle="square,pad=0", **style)


def _patch(ax: Axes, x: float, y: float, width: float, height: float, **style: object) -> None:
    corner = (x - width / 2, y - height / 2)
    ax.add_patch(FancyBboxPatch(corner, width, height, **style))  # type: ignore[arg-type]


def arrow(ax: Axes, *points: tuple[float, float]) -> None:
    """A line through the points, with a head at the last one."""
    ax.plot(*zip(*points[:-1], strict=True), color=INK, lw=1.4)
    style = {"arrowstyle": "-|>", "color": INK, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", points[-1], points[-2], arrowprops=style)
