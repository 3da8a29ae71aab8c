r"""A network as a plain list of the layers of the paper: filters and biases, nothing else.

In evaluation mode a batch normalisation is an affine map (Remark 2), so that it can be folded into
the convolution before it. What is left are the layers of Eqs. 14-19 in float64, whose norms
Theorems 5 and 6 speak about. Chapter 11.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from forward_stability.layer import Folded, Size, WeightedBound, euclidean
from forward_stability.metrics import Link, affine_link, identity
from forward_stability.operators import (
    conv,
    global_pool,
    pad_channels,
    pool2,
    pool2_filter,
    pool2_norm,
    unshuffle,
)
from forward_stability.prox import relu
from forward_stability.report import Check, LayerReport
from forward_stability.rounding import (
    Ball,
    gamma,
    matrix_bound,
    power_of_two,
    rescaled,
    sum_error,
)
from forward_stability.spectral import proven_norm, proven_symbol

Bounds = tuple[LayerReport, list[WeightedBound]]


def features(layers: Sequence[Folded], x: Tensor) -> list[Tensor]:
    """The inputs of all layers and the output, x^0, x^1, …, x^N.

    Args:
        layers: as :func:`~forward_stability.graph.fold` returns them.
        x: x^0, float64, shape ``(batch, channels, height, width)``.
    """
    result = [x]
    for layer in layers:
        result.append(layer(result[-1]))
    return result


def forward(layers: Sequence[Folded], x: Tensor) -> Tensor:
    """The output x^N, shape ``(batch, classes)``; see :func:`features`."""
    return features(layers, x)[-1]


def with_error(
    layers: Sequence[Folded], x: Tensor, constants: Sequence[float], start: float = 0.0
) -> tuple[Tensor, Tensor]:
    r"""The output, and an upper bound of what rounding changed in it.

    With L a Lipschitz constant of a layer, an error e of its input becomes Le, and its own rounding
    errors (:meth:`~forward_stability.layer.Folded.error`) are added.

    Args:
        layers: as :func:`~forward_stability.graph.fold` returns them.
        x: float64, a batch of inputs.
        constants: a proven Lipschitz constant of each layer.
        start: a bound of the error of x, relative to its norm.

    Returns:
        the output, and the bound of the norm of its error, shape ``(batch,)``.

    Source: chapter 15.
    """
    error = start * x.flatten(1).norm(dim=1)
    for layer, L in zip(layers, constants, strict=True):
        error = (L * error + layer.error_norm(x)) * (1 + gamma(4))
        x = layer(x)
    return x, error


def distance(
    layers: Sequence[Folded], others: Sequence[Folded], constants: Sequence[float], x: Tensor
) -> tuple[Tensor, Tensor]:
    r"""The output that other layers compute, and a bound of its distance from the right one.

    For the same input, with :math:`\tilde x^n` what the others compute and L a Lipschitz constant
    of :math:`f_n`, a distance D becomes at most

    .. math:: L D + \|f_n(\tilde x^n) - \tilde x^{n+1}\| .

    Args:
        layers: as :func:`~forward_stability.graph.fold` returns them; their output is exact.
        others: such as those of the same network with rounded or pruned weights; their output is
            the computed one, so that their rounding errors need no bound.
        constants: a proven Lipschitz constant of each of ``layers``.
        x: float64, a batch of inputs.

    Returns:
        the output of ``others``, and the bound, shape ``(batch,)``.

    Source: our own. Chapter 6.
    """
    bound = torch.zeros(len(x), dtype=x.dtype)
    for layer, other, L in zip(layers, others, constants, strict=True):
        output = other(x)
        apart = (layer(x) - output).flatten(1)
        own = apart.norm(dim=1) * (1 + gamma(apart.shape[1] + 8))
        bound = (L * bound + own + layer.error_norm(x)) * (1 + gamma(8))
        x = output
    return x, bound


def input_sizes(layers: Sequence[Folded], size: Size) -> list[Size]:
    """The height and width of the input of each layer, for images of one size."""
    return _sizes(layers, size)[:-1]


def output_size(layers: Sequence[Folded], size: Size) -> Size:
    """The height and width of the output, for images of one size."""
    return _sizes(layers, size)[-1]


def _sizes(layers: Sequence[Folded], size: Size) -> list[Size]:
    sizes = [size]
    for layer in layers:
        sizes.append(layer.output_size(sizes[-1]))
    return sizes


def input_channels(layers: Sequence[Folded], size: Size) -> int | None:
    """The channels of the images, as the first layer with a filter takes them; None without one."""
    pixels = 1
    for layer, entry in zip(layers, input_sizes(layers, size), strict=True):
        channels = layer.channels(entry)
        if channels is not None:
            return channels // pixels
        if isinstance(layer, FoldedFlattening):
            pixels *= prod(entry)
    return None


def as_image(b: Tensor) -> Tensor:
    """A bias of one number a channel, shaped to be added to features."""
    return b[:, None, None]


def scaled(K: Tensor, scale: Tensor) -> Tensor:
    """The filter followed by a multiplication of its output channels."""
    return K * scale[:, None, None, None]


def _half(size: Size) -> Size:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def up(bound: float) -> float:
    """A bound that was computed in a few operations, enlarged by their rounding."""
    return bound * (1 + gamma(16))


def bias_norm(b: Tensor, size: Size) -> float:
    """The norm of the features that equal b at every pixel, rounded upwards."""
    scale = power_of_two(b)
    norm = float((b / scale).norm()) * sqrt(prod(size)) * (1 + gamma(len(b) + 8))
    return rescaled(norm, scale)


def conv_error(x: Tensor, K: Tensor, b: Tensor, stride: int = 1, more: int = 0) -> Tensor:
    """An upper bound of the rounding errors of A x + b, entry by entry, and of ``more`` sums."""
    return sum_error(K[0].numel() + 4 + more, conv(x.abs(), K.abs(), stride) + as_image(b.abs()))


def affine_report(
    kind: str,
    size: Size,
    norm: float,
    name: str = "",
    offset: float | None = None,
    equation: str = "",
    exact: bool = True,
) -> Bounds:
    """Of x ↦ A x + b from ‖A‖, which has the name of A if it has one, and ‖b‖ if there is a b.

    The equation asks for ‖A‖ ≤ 1.
    """
    report = LayerReport(
        kind=kind,
        size=size,
        lipschitz=norm,
        best=norm,
        gain=norm,
        offset=offset or 0.0,
        norms={name: norm} if name else {},
        bounds=() if exact else (name,),
        biases={} if offset is None else {"b": offset},
        checks=(Check(equation, f"‖{name}‖ ≤ 1", norm, 1),) if equation else (),
    )
    return report, [euclidean(norm)]


@dataclass(frozen=True)
class FoldedConv(Folded):
    """x ↦ A x + b. K has shape (out, in, n, n), b (out,). Source: Eq. 16."""

    kind: ClassVar[str] = "convolution"
    K: Tensor
    b: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return conv(x, self.K) + as_image(self.b)

    def error(self, x: Tensor) -> Tensor:
        return conv_error(x, self.K, self.b)

    def link(self, size: Size, channels: int) -> Link | None:
        return affine_link(proven_symbol(self.K, size), self.K.shape[1])

    def bounds(self, size: Size, theorem: str) -> Bounds:
        equation = {"Theorem 5": "20a", "Theorem 6": "23a"}.get(theorem, "")
        norm, offset = proven_norm(self.K, size), bias_norm(self.b, size)
        return affine_report(self.kind, size, norm, "A", offset, equation)


@dataclass(frozen=True)
class FoldedPooling(Folded):
    """x ↦ σ(E P2 x − σ(A|s=2 x + b)). K has shape (2d, d, n, n), b (2d,). Source: Eq. 18."""

    kind: ClassVar[str] = "2D pooling"
    resamples: ClassVar[bool] = True
    K: Tensor
    b: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        y = relu(conv(x, self.K, 2) + as_image(self.b))
        return relu(pad_channels(pool2(x), len(self.b)) - y)

    def error(self, x: Tensor) -> Tensor:
        pooled = pad_channels(pool2(x.abs()), len(self.b))
        return conv_error(x, self.K, self.b, 2, more=2) + gamma(8) * pooled

    def output_size(self, size: Size) -> Size:
        return _half(size)

    def link(self, size: Size, channels: int) -> Link | None:
        if size[0] % 2 or size[1] % 2:
            return None
        A, out = proven_symbol(self.K, size, 2), len(self.b)
        EP2 = proven_symbol(pool2_filter(channels, out), size, 2)
        return Link(EP2, identity(out, len(A.centre)), A, channels)

    def bounds(self, size: Size, theorem: str) -> Bounds:
        """The Jacobians are D'(E P2 − D A) with diagonals 0 ≤ D, D' ≤ 1; D = (I + S)/2, ‖S‖ ≤ 1."""
        K, b = self.K, self.b
        exact = size[0] % 2 == size[1] % 2 == 0
        norm, p2 = proven_norm(K, size, 2), pool2_norm(size)
        L = best = up(p2 + norm)
        out, into, n, _ = K.shape
        if exact and n > 1:
            margin = (n - 3) // 2
            EP2 = F.pad(pool2_filter(into, out), (margin, margin, margin, margin))
            best = min(L, up(proven_norm(EP2 - K / 2, size, 2) + norm / 2))
        report = LayerReport(
            kind=self.kind,
            size=size,
            lipschitz=L,
            best=best,
            gain=up(p2),
            offset=0.0,
            norms={"A": norm},
            bounds=() if exact else ("A",),
            biases={"b": bias_norm(b, _half(size))},
        )
        return report, [euclidean(best)]


@dataclass(frozen=True)
class FoldedUnshuffling(Folded):
    """x ↦ W U x + b, where U makes four channels of the 2x2 pixels of one; W (out, 4 in), b (out,).

    U only moves numbers, so the norm is that of W. Source: our own. Chapter 15.
    """

    kind: ClassVar[str] = "unshuffling"
    resamples: ClassVar[bool] = True
    W: Tensor
    b: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return conv(unshuffle(x), self.W[..., None, None]) + as_image(self.b)

    def error(self, x: Tensor) -> Tensor:
        return conv_error(unshuffle(x), self.W[..., None, None], self.b)

    def output_size(self, size: Size) -> Size:
        return _half(size)

    def channels(self, size: Size) -> int:
        return self.W.shape[1] // 4

    def bounds(self, size: Size, theorem: str) -> Bounds:
        """The hypotheses are those of the first layer, an affine map as well."""
        equation = {"Theorem 5": "20a", "Theorem 6": "23a"}.get(theorem, "")
        norm, offset = matrix_bound(self.W), bias_norm(self.b, _half(size))
        return affine_report(self.kind, size, norm, "A", offset, equation)


@dataclass(frozen=True)
class FoldedGlobalPooling(Folded):
    """x ↦ Pg σ(x). Source: Eq. 19."""

    kind: ClassVar[str] = "global pooling"
    resamples: ClassVar[bool] = True

    def __call__(self, x: Tensor) -> Tensor:
        return global_pool(relu(x))

    def error(self, x: Tensor) -> Tensor:
        return gamma(prod(x.shape[-2:]) + 4) * global_pool(relu(x))

    def output_size(self, size: Size) -> Size:
        return 1, 1

    def link(self, size: Size, channels: int) -> Link | None:
        return affine_link(identity(channels, factor=up(1 / sqrt(prod(size)))), channels)

    def bounds(self, size: Size, theorem: str) -> Bounds:
        return affine_report(self.kind, size, up(1 / sqrt(prod(size))), "Pg")


@dataclass(frozen=True)
class FoldedHalving(Folded):
    """x ↦ P2 x. Source: Eq. 33."""

    kind: ClassVar[str] = "halving"

    def __call__(self, x: Tensor) -> Tensor:
        return pool2(x)

    def error(self, x: Tensor) -> Tensor:
        return gamma(8) * pool2(x.abs())

    def output_size(self, size: Size) -> Size:
        return _half(size)

    def link(self, size: Size, channels: int) -> Link | None:
        if size[0] % 2 or size[1] % 2:
            return None
        return affine_link(proven_symbol(pool2_filter(channels, channels), size, 2), channels)

    def bounds(self, size: Size, theorem: str) -> Bounds:
        return affine_report(self.kind, size, up(pool2_norm(size)), "P2")


@dataclass(frozen=True)
class FoldedFlattening(Folded):
    """All features side by side. Source: chapter 15."""

    kind: ClassVar[str] = "flattening"
    resamples: ClassVar[bool] = True

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def output_size(self, size: Size) -> Size:
        return 1, 1

    def bounds(self, size: Size, theorem: str) -> Bounds:
        return affine_report(self.kind, size, up(1.0))


@dataclass(frozen=True)
class FoldedLinear(Folded):
    """x ↦ W x + b. W has shape (C, d), b (C,). Source: Eq. 17."""

    kind: ClassVar[str] = "classifier"
    W: Tensor
    b: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.W.T + self.b

    def error(self, x: Tensor) -> Tensor:
        return sum_error(self.W.shape[1] + 4, x.abs() @ self.W.abs().T + self.b.abs())

    def link(self, size: Size, channels: int) -> Link | None:
        W = Ball(self.W[None].to(torch.complex128), torch.zeros(1, dtype=self.W.dtype))
        return affine_link(W, self.W.shape[1])

    def bounds(self, size: Size, theorem: str) -> Bounds:
        equation = {"Theorem 5": "20b", "Theorem 6": "23b"}.get(theorem, "")
        norm, one = matrix_bound(self.W), (1, 1)
        return affine_report(self.kind, one, norm, "W", bias_norm(self.b, one), equation)
