"""Trained networks that run in the reader's browser, with a kernel or without one.

``engine.js`` evaluates what :mod:`~forward_stability.export` writes, and ``noise.js`` draws the
noise that :func:`forward_stability.data.seeded_normal` draws. Chapters 12 and 14.
"""

from importlib import resources


def source(*names: str) -> str:
    """The JavaScript files of this package, one after the other."""
    return "\n".join(resources.files(__name__).joinpath(name).read_text("utf-8") for name in names)
