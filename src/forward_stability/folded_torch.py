r"""The folded forms of PyTorch's own layers, which networks that we did not write are made of.

Convolutions with stride and zero padding, poolings and single activations. No theorem of the paper
is about them; each has a proven Lipschitz constant. Chapter 15.
"""

from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from forward_stability.folding import (
    Bounds,
    FoldedConv,
    affine_report,
    as_image,
    bias_norm,
    scaled,
    up,
)
from forward_stability.geometry import Geometry, Pair, square, window_count
from forward_stability.layer import Folded, Size
from forward_stability.prox import relu
from forward_stability.rounding import gamma, sum_error
from forward_stability.spectral import proven_norm


@dataclass(frozen=True)
class FoldedConv2d(Folded):
    """x ↦ A|s x + b, periodic or padded with zeros. K has shape (out, in, n, m), b (out,).

    Source: :mod:`~forward_stability.geometry`.
    """

    kind: ClassVar[str] = "convolution"
    theorem: ClassVar[str | None] = ""
    K: Tensor
    b: Tensor
    geometry: Geometry

    @property
    def resamples(self) -> bool:  # type: ignore[override]
        return self.geometry.stride != (1, 1)

    def _linear(self, x: Tensor, K: Tensor) -> Tensor:
        (p, q), circular = self.geometry.padding, self.geometry.circular
        padded = F.pad(x, (q, q, p, p), mode="circular" if circular else "constant")
        return F.conv2d(padded, K, stride=self.geometry.stride)

    def __call__(self, x: Tensor) -> Tensor:
        return self._linear(x, self.K) + as_image(self.b)

    def error(self, x: Tensor) -> Tensor:
        sums = self._linear(x.abs(), self.K.abs()) + as_image(self.b.abs())
        return sum_error(self.K[0].numel() + 4, sums)

    def output_size(self, size: Size) -> Size:
        return self.geometry.output_size(size, (self.K.shape[-2], self.K.shape[-1]))

    def bounds(self, size: Size, theorem: str) -> Bounds:
        g = self.geometry
        norm = proven_norm(square(self.K), g.torus(size), g.stride)
        divides = size[0] % g.stride[0] == size[1] % g.stride[1] == 0
        exact = divides if g.circular else self.K.shape[-2:] == (1, 1)
        offset = bias_norm(self.b, self.output_size(size))
        return affine_report(self.kind, size, norm, "A", offset, exact=exact)


@dataclass(frozen=True)
class FoldedAffine(Folded):
    """x ↦ D x + b, a batch normalisation on its own. D and b have one number a channel.

    Source: Definition 4, Remark 2.
    """

    kind: ClassVar[str] = "batch norm"
    theorem: ClassVar[str | None] = ""
    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x * as_image(self.scale) + as_image(self.shift)

    def error(self, x: Tensor) -> Tensor:
        return gamma(4) * (x.abs() * as_image(self.scale.abs()) + as_image(self.shift.abs()))

    def channels(self, size: Size) -> int:
        return len(self.scale)

    def bounds(self, size: Size, theorem: str) -> Bounds:
        norm = float(self.scale.abs().max())
        return affine_report(self.kind, size, norm, "A", bias_norm(self.shift, size))


@dataclass(frozen=True)
class FoldedReLU(Folded):
    """x ↦ σ(x). Source: Definition 7."""

    kind: ClassVar[str] = "ReLU"
    theorem: ClassVar[str | None] = ""

    def __call__(self, x: Tensor) -> Tensor:
        return relu(x)

    def bounds(self, size: Size, theorem: str) -> Bounds:
        return affine_report(self.kind, size, up(1.0))


@dataclass(frozen=True)
class FoldedWindows(Folded):
    """A pooling of windows of k x l pixels, a stride apart; a pixel lies in ⌈k/s⌉⌈l/t⌉ at most."""

    theorem: ClassVar[str | None] = ""
    resamples: ClassVar[bool] = True
    window: Pair
    stride: Pair
    padding: Pair

    def output_size(self, size: Size) -> Size:
        return window_count(size, self.window, self.stride, self.padding)

    @property
    def overlap(self) -> int:
        """In how many windows a pixel lies at most."""
        return prod(-(-k // s) for k, s in zip(self.window, self.stride, strict=True))


@dataclass(frozen=True)
class FoldedMeanPooling(FoldedWindows):
    """Means over windows. The norm is √(⌈k/s⌉⌈l/t⌉/(kl)) at most.

    Rows of the matrix sum to 1 at most, columns to ⌈k/s⌉⌈l/t⌉/(kl), and ‖A‖² ≤ ‖A‖₁‖A‖_∞.
    """

    kind: ClassVar[str] = "mean pooling"

    def __call__(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.window, self.stride, self.padding)

    def error(self, x: Tensor) -> Tensor:
        return gamma(prod(self.window) + 4) * self(x.abs())

    def bounds(self, size: Size, theorem: str) -> Bounds:
        norm = sqrt(self.overlap / prod(self.window))
        return affine_report(self.kind, size, up(norm), "P", exact=False)


@dataclass(frozen=True)
class FoldedMaxPooling(FoldedWindows):
    """Largest values of windows. The Lipschitz constant is √(⌈k/s⌉⌈l/t⌉) at most.

    abs(max x − max y) is at most the largest abs(x − y) of the window, whose square is counted for
    each window in which that pixel lies.
    """

    kind: ClassVar[str] = "max pooling"

    def __call__(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.window, self.stride, self.padding)

    def bounds(self, size: Size, theorem: str) -> Bounds:
        return affine_report(self.kind, size, up(sqrt(self.overlap)))


@dataclass(frozen=True)
class FoldedMean(Folded):
    """x ↦ Pg x, features of one pixel. Source: Definition 6."""

    kind: ClassVar[str] = "global mean"
    theorem: ClassVar[str | None] = ""
    resamples: ClassVar[bool] = True

    def __call__(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1), keepdim=True)

    def error(self, x: Tensor) -> Tensor:
        return gamma(prod(x.shape[-2:]) + 4) * self(x.abs())

    def output_size(self, size: Size) -> Size:
        return 1, 1

    def bounds(self, size: Size, theorem: str) -> Bounds:
        return affine_report(self.kind, size, up(1 / sqrt(prod(size))), "Pg")


def absorb(conv: FoldedConv | FoldedConv2d, affine: FoldedAffine) -> FoldedConv | FoldedConv2d:
    """A convolution and the batch normalisation behind it as one. Source: Remark 2, Eq. 27."""
    b = affine.scale * conv.b + affine.shift
    return replace(conv, K=scaled(conv.K, affine.scale), b=b)
