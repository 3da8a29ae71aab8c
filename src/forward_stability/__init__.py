"""Forward stability of ResNets: the reference implementation behind the interactive book.

The names of ``__all__`` are what a researcher uses; :mod:`forward_stability.api` says where each is
at home. They are loaded when the first of them is asked for, so that importing the package costs
nothing. Three wings: this package is the core, in the order of Zhang & Schaeffer, "Forward
Stability of ResNet and Its Variants" (2019); :mod:`forward_stability.experiments` trains and
measures; :mod:`forward_stability.book` draws. Imports go from the book to the experiments to the
core, never back.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forward_stability.api import *  # noqa: F403

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name != "__all__":  # what Python itself looks for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    api = import_module("forward_stability.api")
    if name == "__all__" or name in api.__all__:
        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("forward_stability.api").__all__})
