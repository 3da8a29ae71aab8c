r"""The protocol of a layer: all that differs from layer to layer is a method of its class.

A layer has two forms. :class:`Layer` is what is trained, with its batch normalisation.
:class:`Folded` is the same map in float64 as the paper writes it, filters and biases alone: what
the theorems speak about, what a certificate is made for, and what is exported. A new layer is one
class of each, and an entry in the engine of the browser. Chapters 8 and 11.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from forward_stability.errors import InputError
from forward_stability.metrics import Link
from forward_stability.report import LayerReport
from forward_stability.rounding import gamma

Size = tuple[int, int]
"""The height and width of images or features."""


@dataclass(frozen=True)
class WeightedBound:
    """‖v (f(x) − f(y))‖ ≤ ``constant`` ‖u (x − y)‖ for a layer f.

    Weights u, v > 0 have one number a channel; one alone is a Euclidean norm.
    """

    u: Tensor
    v: Tensor
    constant: float


def euclidean(constant: float) -> WeightedBound:
    """The bound ‖f(x) − f(y)‖ ≤ ``constant`` ‖x − y‖."""
    one = torch.ones(1, dtype=torch.float64)
    return WeightedBound(one, one, constant)


@dataclass(frozen=True)
class Folded(ABC):
    """A layer in float64, batch normalisation folded in; a frozen dataclass of its weights.

    Tensors of two or more axes are filters ``(out, in, n, n)`` or matrices ``(out, in)``, vectors
    have one number a channel. Remark 2, chapter 11.
    """

    kind: ClassVar[str]
    """What the layer is called in a report, in an exported file and by the engine."""

    theorem: ClassVar[str | None] = None
    """The theorem that is about networks with this layer: "" if none is, None for any."""

    resamples: ClassVar[bool] = False
    """Whether the layer changes the number of pixels, so that a stage of the network ends here."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """The output, for a batch of float64 inputs."""

    def output_size(self, size: Size) -> Size:
        """The height and width of the output for an input of this size."""
        return size

    @abstractmethod
    def bounds(self, size: Size, theorem: str) -> tuple[LayerReport, list[WeightedBound]]:
        """What is proven of the layer for inputs of one size.

        Args:
            size: the height and width of the input.
            theorem: whose hypotheses are checked: "Theorem 5", "Theorem 6" or "".

        Returns:
            the report, and Lipschitz constants in one or more norms.
        """

    def sharper(self, size: Size) -> float | None:
        """A Lipschitz constant by :mod:`~forward_stability.multipliers`, None where there is none.

        It takes seconds. Chapter 15.
        """
        return None

    def link(self, size: Size, channels: int) -> Link | None:
        """The layer for :mod:`~forward_stability.metrics`, None if it is of another form.

        Args:
            size: the height and width of the input.
            channels: of the input.
        """
        return None

    def error(self, x: Tensor) -> Tensor:
        """What rounding may have changed in the output for exactly these inputs.

        Args:
            x: float64, a batch of inputs.

        Returns:
            an upper bound of abs(computed − exact), entry by entry, of the shape of the output; by
            default 0, for layers that only move numbers.
        """
        return torch.zeros_like(self(x))

    def error_norm(self, x: Tensor) -> Tensor:
        """An upper bound of the norm of what rounding may have changed, shape ``(batch,)``."""
        error = self.error(x).flatten(1)
        return error.norm(dim=1) * (1 + gamma(error.shape[1] + 4))

    def channels(self, size: Size) -> int | None:
        """The channels of its input, images of this size; None if it takes any number of them."""
        values = (getattr(self, f.name) for f in fields(self))
        filters = (v for v in values if isinstance(v, Tensor) and v.dim() > 1)
        return next((K.shape[1] for K in filters), None)

    @property
    def options(self) -> dict[str, Any]:
        """Its fields that are no tensors, such as a stride."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if not isinstance(value, Tensor)}


class Layer(nn.Module, ABC):
    """A layer that is trained."""

    @abstractmethod
    def fold(self) -> Folded:
        """The layer in evaluation mode, as the paper writes it.

        Raises:
            InputError: if a batch normalisation keeps no running statistics.
        """

    def constrain_(self, size: Size, c: float) -> None:
        """Keep its filters within the hypotheses of Theorem 6 while it is trained, in place.

        Args:
            size: the height and width of its input.
            c: the largest norm of the filter of a pooling layer.

        Raises:
            InputError: if there is no such constraint for this layer.
        """
        raise InputError(f"a layer of type {type(self).__name__} cannot be constrained")

    def initialise_(self, size: Size, kind: str) -> None:
        """Set its initial filter for a constrained training, in place; by default, leave it."""

    def lift_(self, below: float, above: float) -> None:
        """Move its bias, while it is trained and in place, for features that are moved up.

        x + ``below`` then gives what x gave, plus ``above``.

        Raises:
            InputError: if there is no such bias for this layer.
        """
        raise InputError(f"a layer of type {type(self).__name__} cannot be lifted")

    def constrained_norm(self, size: Size, c: float) -> float:
        """Its factor in the constant of Theorem 6 if constrained so; see :meth:`constrain_`."""
        return 1.0
