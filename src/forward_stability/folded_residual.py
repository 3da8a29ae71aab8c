r"""Residual layers, batch normalisation folded in, and what is proven of them.

:class:`FoldedResidual` is ResNet-D's layer, :class:`FoldedSymmetric` that of ResNet-S, and
:class:`FoldedOriginal` that of the original ResNet. Chapters 9, 10 and 11.
"""

from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor

from forward_stability.folding import Bounds, as_image, bias_norm, conv_error, scaled, up
from forward_stability.layer import Folded, Size, WeightedBound, euclidean
from forward_stability.metrics import Link
from forward_stability.multipliers import balanced, lipschitz
from forward_stability.operators import adjoint_filter, conv, pad_channels, padding_filter
from forward_stability.prox import relu
from forward_stability.report import Check, LayerReport
from forward_stability.rounding import gamma, power_of_two
from forward_stability.spectral import proven_norm, proven_symbol


@dataclass(frozen=True)
class FoldedResidual(Folded):
    """x ↦ σ(x − A2 σ(A1 x + b1) + b2), ResNet-D's layer if A2 ≥ 0.

    K1, K2 have shape (d, d, n, n), b1, b2 shape (d,). Source: Eq. 14, Fig. 2a.
    """

    kind: ClassVar[str] = "residual D"
    theorem: ClassVar[str | None] = "Theorem 5"
    K1: Tensor
    b1: Tensor
    K2: Tensor
    b2: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        y = relu(conv(x, self.K1) + as_image(self.b1))
        return relu(x - conv(y, self.K2) + as_image(self.b2))

    def error(self, x: Tensor) -> Tensor:
        return residual_error(x, self.K1, self.b1, self.K2, self.b2)

    def sharper(self, size: Size) -> float | None:
        return lipschitz(self.K1, self.K2, size).constant

    def link(self, size: Size, channels: int) -> Link | None:
        return residual_link(self.K1, self.K2, size)

    def bounds(self, size: Size, theorem: str) -> Bounds:
        norm1, norm2 = proven_norm(self.K1, size), proven_norm(self.K2, size)
        L = up(1 + norm1 * norm2)
        best = min(L, midpoint(self.K1, self.K2, size, norm1 * norm2))
        negative = max(-float(self.K2.min()), 0.0)
        decays = negative == 0
        offset = relu(self.b2) if decays else at_zero(self.b1, self.K2, self.b2)
        report = LayerReport(
            kind=self.kind,
            size=size,
            lipschitz=L,
            best=best,
            gain=1.0 if decays else best,
            offset=bias_norm(offset, size),
            norms={"A1": norm1, "A2": norm2},
            biases=bias_norms(self.b1, self.b2, size),
            checks=(Check("14", "−min K2 ≤ 0 (A2 ≥ 0)", negative, 0),) if theorem else (),
        )
        return report, [euclidean(best)]


@dataclass(frozen=True)
class FoldedOriginal(Folded):
    """x ↦ σ(S x − A2 σ(A1 x + b1) + b2), with S x = x or, strided, every s-th pixel, padded.

    The layer of the original ResNet; its K2 has the opposite sign here. K1 has shape
    (out, in, n, n), K2 (out, out, n, n), b1, b2 shape (out,). Source: Fig. 2c.
    """

    kind: ClassVar[str] = "residual"
    theorem: ClassVar[str | None] = ""
    K1: Tensor
    b1: Tensor
    K2: Tensor
    b2: Tensor
    stride: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        s = self.stride
        y = relu(conv(x, self.K1, s) + as_image(self.b1))
        shortcut = x if s == 1 else pad_channels(x[..., ::s, ::s], len(self.b2))
        return relu(shortcut - conv(y, self.K2) + as_image(self.b2))

    def error(self, x: Tensor) -> Tensor:
        return residual_error(x, self.K1, self.b1, self.K2, self.b2, self.stride)

    def sharper(self, size: Size) -> float | None:
        return lipschitz(self.K1, self.K2, size).constant if self.stride == 1 else None

    def link(self, size: Size, channels: int) -> Link | None:
        if any(n % self.stride for n in size):
            return None
        return residual_link(self.K1, self.K2, size, self.stride)

    @property
    def resamples(self) -> bool:  # type: ignore[override]
        return self.stride > 1

    def output_size(self, size: Size) -> Size:
        return -(-size[0] // self.stride), -(-size[1] // self.stride)

    def bounds(self, size: Size, theorem: str) -> Bounds:
        out = self.output_size(size)
        exact = not any(n % self.stride for n in size)
        norm1, norm2 = proven_norm(self.K1, size, self.stride), proven_norm(self.K2, out)
        L = best = up(1 + norm1 * norm2)
        if self.stride == 1:
            best = min(L, midpoint(self.K1, self.K2, size, norm1 * norm2))
        report = LayerReport(
            kind=self.kind,
            size=size,
            lipschitz=L,
            best=best,
            gain=best,
            offset=bias_norm(at_zero(self.b1, self.K2, self.b2), out),
            norms={"A1": norm1, "A2": norm2},
            bounds=() if exact else ("A1",),
            biases=bias_norms(self.b1, self.b2, out),
        )
        return report, [euclidean(best)]


@dataclass(frozen=True)
class FoldedSymmetric(Folded):
    """x ↦ σ(x − D2 Aᵀ σ(D1 A x + b1) + b2), a ResNet-S layer with its batch normalisations.

    K has shape (d, d, n, n); b1, b2 and the diagonals d1, d2 > 0 have one number a channel,
    shape (d,). D1 = D2 = I is Eq. 15; without the outer ReLU it is the convex potential layer.
    Source: Eq. 15 and Remark 2.
    """

    kind: ClassVar[str] = "residual S"
    theorem: ClassVar[str | None] = "Theorem 6"
    K: Tensor
    b1: Tensor
    b2: Tensor
    d1: Tensor
    d2: Tensor
    outer_relu: bool = True

    @cached_property
    def K1(self) -> Tensor:
        """The filter of D1 A."""
        return scaled(self.K, self.d1)

    @cached_property
    def K2(self) -> Tensor:
        """The filter of D2 Aᵀ."""
        return scaled(adjoint_filter(self.K), self.d2)

    def __call__(self, x: Tensor) -> Tensor:
        y = relu(conv(x, self.K1) + as_image(self.b1))
        z = x - conv(y, self.K2) + as_image(self.b2)
        return relu(z) if self.outer_relu else z

    def error(self, x: Tensor) -> Tensor:
        return residual_error(x, self.K1, self.b1, self.K2, self.b2)

    def sharper(self, size: Size) -> float | None:
        return lipschitz(self.K1, self.K2, size).constant

    def link(self, size: Size, channels: int) -> Link | None:
        return residual_link(self.K1, self.K2, size)

    def bounds(self, size: Size, theorem: str) -> Bounds:
        """In the norm ‖D2^{-1/2} x‖ the layer is x ↦ σ(x − Bᵀ(±)σ(B x + …) + …): chapter 11.

        B = abs(D1)^{1/2} A D2^{1/2}; the sign is that of D1. Rows of B with a negative sign push
        the other way, so that the eigenvalues of the Jacobian lie in [1 − ‖B₊‖², 1 + ‖B₋‖²].
        """
        d1, d2 = self.d1, self.d2
        norm1, norm2 = proven_norm(self.K1, size), proven_norm(self.K2, size)
        B = scaled(self.K, d1.abs().sqrt()) * as_image(d2.sqrt())
        plus, minus = (
            proven_norm(B[rows], size) if bool(rows.any()) else 0.0 for rows in (d1 >= 0, d1 < 0)
        )
        weighted = up(max(1 + minus**2, plus**2 - 1))
        spread = float((d2.max() / d2.min()).sqrt())
        L = up(min(1 + norm1 * norm2, spread * weighted))
        best = min(L, midpoint(self.K1, self.K2, size, norm1 * norm2))
        balanced = proven_norm(B, size) if minus else plus
        offset = at_zero(self.b1, self.K2, self.b2, self.outer_relu)
        report = LayerReport(
            kind=self.kind,
            size=size,
            lipschitz=L,
            best=best,
            gain=best,
            offset=bias_norm(offset, size),
            norms={
                "A": proven_norm(self.K, size),
                "D1 A": norm1,
                "D2 Aᵀ": norm2,
                "D1^½ A D2^½": balanced,
            },
            biases=bias_norms(self.b1, self.b2, size),
            checks=(
                Check("15", "max D2 / min D2 ≤ 1 (Aᵀ after folding)", spread**2, 1),
                Check("15", "−min D1 ≤ 0 (γ ≥ 0)", max(-float(d1.min()), 0.0), 0),
                Check("24", "‖D1^½ A D2^½‖ ≤ √2", balanced, sqrt(2)),
            ),
        )
        w = d2.rsqrt()
        return report, [euclidean(best), WeightedBound(w, w, weighted)]


def bias_norms(b1: Tensor, b2: Tensor, size: Size) -> dict[str, float]:
    """‖b1‖ and ‖b2‖ over all pixels, rounded upwards."""
    return {"b1": bias_norm(b1, size), "b2": bias_norm(b2, size)}


def midpoint(K1: Tensor, K2: Tensor, size: Size, product: float) -> float:
    r"""A Lipschitz constant of x ↦ x − A2 σ(A1 x + b1), at most 1 + ‖A1‖‖A2‖ = 1 + ``product``.

    The difference quotients of σ form a diagonal D = (I + S)/2 with ‖S‖ ≤ 1, so
    ‖I − A2 D A1‖ ≤ ‖I − A2 A1/2‖ + ‖A2 T‖‖T⁻¹ A1‖/2 with any diagonal T > 0 that is constant on
    each channel: T = I, or one that balances the channels.

    Args:
        K1, K2: filters of shape ``(d, d, n, n)``, float64.
        size: the height and width of x.
        product: ‖A1‖‖A2‖.

    Source: our own. Chapter 11.
    """
    scale1, scale2 = power_of_two(K1), power_of_two(K2)
    A2A1 = proven_symbol(K2 / scale2, size) @ proven_symbol(K1 / scale1, size)
    T2 = K1.flatten(1).norm(dim=1) / K2.transpose(0, 1).flatten(1).norm(dim=1)
    T = as_image(torch.where(torch.isfinite(T2) & (T2 > 0), T2, 1.0).sqrt())
    balanced = proven_norm(K2 * T, size) * proven_norm(K1 / T[..., None], size)
    return up(A2A1.from_identity(scale1 * scale2 / 2).norm() + min(product, balanced) / 2)


def residual_link(K1: Tensor, K2: Tensor, size: Size, stride: int = 1) -> Link:
    """x ↦ σ(S x − A2 σ(A1 x + b1) + b2) for :mod:`~forward_stability.metrics`."""
    used = (K1.flatten(1) != 0).any(1) & (K2.transpose(0, 1).flatten(1) != 0).any(1)
    K1, K2, _ = balanced(K1[used], K2[:, used])
    (out, _, *_), into = K2.shape, K1.shape[1]
    shortcut = proven_symbol(padding_filter(into, out), size, stride)
    behind = size[0] // stride, size[1] // stride
    return Link(shortcut, proven_symbol(K2, behind), proven_symbol(K1, size, stride), into)


def at_zero(b1: Tensor, K2: Tensor, b2: Tensor, outer_relu: bool = True) -> Tensor:
    """An upper bound of abs(f(0)) for a residual layer f, such as σ(b2 − A2 σ(b1)); one a channel.

    The difference may cancel, so that its rounding errors are added.
    """
    value = b2 - K2.sum((-2, -1)) @ relu(b1)
    terms = K2[0].numel() + 8
    error = gamma(terms) * (b2.abs() + K2.abs().sum((-2, -1)) @ relu(b1)) * (1 + gamma(terms))
    return (relu(value + error) if outer_relu else value.abs() + error) * (1 + gamma(2))


def residual_error(
    x: Tensor, K1: Tensor, b1: Tensor, K2: Tensor, b2: Tensor, stride: int = 1
) -> Tensor:
    """An upper bound of the rounding errors of a residual layer, entry by entry.

    Those of the hidden units go through the second filter; those of the second filter and of the
    sums behind it are added.
    """
    hidden = relu(conv(x, K1, stride) + as_image(b1))
    inner = conv(conv_error(x, K1, b1, stride), K2.abs())
    shortcut = pad_channels(x.abs()[..., ::stride, ::stride], len(b2))
    outer = conv_error(hidden, K2, b2, more=4) + gamma(8) * shortcut
    return (inner * (1 + gamma(K2[0].numel() + 4)) + outer) * (1 + gamma(4))
