r"""What Theorems 5 and 6 say about a given network, as numbers.

Layer by layer: the norms that enter, whether the hypotheses hold, and constants a, c with

.. math:: \|x^N - y^N\| \le a \|x^0 - y^0\|, \qquad \|x^N\| \le g \|x^0\| + c,

as printed, as corrected, and sharper ones that hold for every network. A constant is marked as
proven only where it is; proven ones are enlarged to cover the rounding of their computation in
float64. They are about the network in exact arithmetic. Chapters 9, 10 and 11.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.folding import (
    Folded,
    FoldedConv,
    FoldedFlattening,
    FoldedGlobalPooling,
    FoldedHalving,
    FoldedLinear,
    FoldedPooling,
    FoldedResidual,
    FoldedSymmetric,
    fold,
    forward,
)
from forward_stability.models import Network
from forward_stability.operators import pool2_norm
from forward_stability.prox import relu
from forward_stability.spectral import block_norm, conv_norm, conv_norm_bound, symbol

ROUNDING = 1e-11
"""Relative enlargement of a proven constant a layer; its rounding error is below 1e-12 a layer."""


@dataclass(frozen=True)
class Check:
    """A hypothesis of a theorem for one layer: ``value`` ≤ ``limit`` (up to :data:`ROUNDING`)."""

    equation: str
    statement: str
    value: float
    limit: float
    holds: bool


@dataclass(frozen=True)
class Constants:
    """‖x^N − y^N‖ ≤ a ‖x^0 − y^0‖ and ‖x^N‖ ≤ g ‖x^0‖ + c, each with whether it is proven."""

    name: str
    a: float
    a_proven: bool
    g: float
    c: float
    c_proven: bool
    note: str


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    ``size`` is the height and width of its input. ``norms`` holds operator norms by name, of which
    those in ``bounds`` are upper bounds; ``biases`` the norms of the biases as features.
    ``lipschitz`` is the constant of the sharpened theorem, ``best`` the smallest proven one;
    ‖x^{n+1}‖ ≤ ``gain`` ‖x^n‖ + ``offset``.
    """

    index: int
    kind: str
    size: tuple[int, int]
    norms: dict[str, float]
    biases: dict[str, float]
    checks: list[Check]
    lipschitz: float
    best: float
    gain: float
    offset: float
    bounds: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """The report of a network: its layers and the constants of the whole."""

    network: str
    theorem: str
    size: tuple[int, int]
    hypotheses_hold: bool
    layers: list[LayerReport]
    constants: list[Constants]

    def __getitem__(self, name: str) -> Constants:
        """The constants called "printed", "corrected", "sharpened" or "best"."""
        return next(c for c in self.constants if c.name == name)

    @property
    def failed(self) -> list[tuple[int, Check]]:
        """The hypotheses that fail, with the index of the layer."""
        return [(layer.index, c) for layer in self.layers for c in layer.checks if not c.holds]

    def to_dict(self) -> dict[str, Any]:
        """The report in plain types, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """The report as text."""
        lines = [f"{self.network} on {self.size[0]}x{self.size[1]} pixels", ""]
        for x in self.layers:
            norms = ", ".join(
                f"‖{k}‖ {'≤' if k in x.bounds else '='} {v:.4g}" for k, v in x.norms.items()
            )
            size = f"{x.size[0]}x{x.size[1]}"
            lines.append(f"{x.index:>4} {x.kind:<15}{size:<7}Lip ≤ {x.best:<10.4g}{norms}")
            lines += [
                f"     Eq. {c.equation} fails: {c.statement}; here {c.value:.4g}"
                for c in x.checks
                if not c.holds
            ]
        holds = "hold" if self.hypotheses_hold else "do not all hold"
        lines += ["", f"The hypotheses of {self.theorem} {holds}." if self.theorem else ""]
        lines.append(
            "Sensitivity a and growth g, c: |x^N − y^N| ≤ a |x^0 − y^0|, |x^N| ≤ g |x^0| + c"
        )
        for c in self.constants:
            a = f"a = {c.a:.5g}" + ("" if c.a_proven else " (not proven)")
            growth = f"g = {c.g:.5g}, c = {c.c:.5g}" + ("" if c.c_proven else " (not proven)")
            lines.append(f"{c.name:<10} {a:<32}{growth:<40}{c.note}")
        return "\n".join(lines)


def certify(network: Network, size: tuple[int, int]) -> Report:
    """The report of a network in evaluation mode for images of one size.

    Args:
        network: ResNet-D, ResNet-S or the original ResNet.
        size: the height and width of the images.

    Source: Theorems 5 and 6, Remark 2. Chapters 9 to 11.
    """
    return certify_layers(fold(network), size, network.name)


@torch.no_grad()
def certify_layers(layers: Sequence[Folded], size: tuple[int, int], name: str = "") -> Report:
    """The report of a list of folded layers; see :func:`certify`.

    Raises:
        InputError: if the first layer is no convolution or the size is not positive.
    """
    convolution = next((f for f in layers if not isinstance(f, FoldedHalving)), None)
    if not isinstance(convolution, FoldedConv) or min(size) < 1:
        raise InputError("certify_layers needs a convolution first and a positive image size")
    kinds = {type(layer) for layer in layers}
    original = FoldedResidual in kinds and FoldedPooling not in kinds
    theorem = "Theorem 6" if FoldedSymmetric in kinds else "" if original else "Theorem 5"
    image, reports, chain = size, [], [(torch.ones(1, dtype=torch.float64), 1.0)]
    for index, layer in enumerate(layers):
        entry, options = _layer(index, layer, size, theorem)
        reports.append(entry)
        chain = _extend(chain, options)
        strided = (
            isinstance(layer, FoldedPooling | FoldedHalving) or getattr(layer, "stride", 1) == 2
        )
        size = ((size[0] + 1) // 2, (size[1] + 1) // 2) if strided else size
    holds = bool(theorem) and all(c.holds for r in reports for c in r.checks)
    enlarge = 1 + ROUNDING * len(layers)
    best = min(bound / float(weights.min()) for weights, bound in chain) * enlarge
    constants = _theorem(reports, theorem, enlarge) if theorem else []
    gain, offset = 1.0, 0.0
    for r in reports:
        gain, offset = r.gain * gain, r.gain * offset + r.offset
    a = prod(r.lipschitz for r in reports)
    note = "true norms, |P2| = 1/2, |Pg| = 1/√(hw); for every network"
    constants.append(
        Constants("sharpened", a * enlarge, True, gain * enlarge, offset * enlarge, True, note)
    )
    zero = torch.zeros(1, convolution.K.shape[1], *image, dtype=torch.float64)
    at_zero = float(forward(layers, zero).norm()) * enlarge
    note = "layers in their best norms, c = |f(0)|; for every network"
    constants.append(Constants("best", best, True, best, at_zero, True, note))
    return Report(name, theorem, image, holds, reports, constants)


Norm = tuple[Tensor, Tensor, float]
"""Weights u, v > 0 (one a channel) and L: ‖v(f(x) − f(y))‖ ≤ L ‖u(x − y)‖ for a layer f."""


def _extend(chain: list[tuple[Tensor, float]], options: list[Norm]) -> list[tuple[Tensor, float]]:
    """Bounds of a difference in several weighted norms, carried through one more layer.

    ``(w, B)`` in the chain means ‖w(x^n − y^n)‖ ≤ B ‖x^0 − y^0‖. Changing to the weights u costs
    the largest u/w.
    """
    return [(v, min(bound * float((u / w).max()) for w, bound in chain) * L) for u, v, L in options]


def _euclidean(L: float) -> Norm:
    one = torch.ones(1, dtype=torch.float64)
    return one, one, L


def _check(equation: str, statement: str, value: float, limit: float) -> Check:
    return Check(equation, statement, value, limit, value <= limit * (1 + ROUNDING))


def _constant_features(b: Tensor, size: tuple[int, int]) -> float:
    """The norm of the features that equal b at every pixel."""
    return float(b.norm()) * sqrt(prod(size))


def _layer(
    index: int, layer: Folded, size: tuple[int, int], theorem: str
) -> tuple[LayerReport, list[Norm]]:
    """The report of one layer, and its Lipschitz constants in one or more norms."""
    six, pixels = theorem == "Theorem 6", prod(size)
    match layer:
        case FoldedConv(K, b):
            norm, c = float(conv_norm(K, size)), _constant_features(b, size)
            checks = [_check("23a" if six else "20a", "‖A‖ ≤ 1", norm, 1)] if theorem else []
            args = ({"A": norm}, {"b": c}, checks, norm, norm, norm, c)
            return LayerReport(index, "convolution", size, *args), [_euclidean(norm)]
        case FoldedLinear(W, b):
            norm, c = float(torch.linalg.matrix_norm(W, 2)), float(b.norm())
            checks = [_check("23b" if six else "20b", "‖W‖ ≤ 1", norm, 1)] if theorem else []
            args = ({"W": norm}, {"b": c}, checks, norm, norm, norm, c)
            return LayerReport(index, "classifier", (1, 1), *args), [_euclidean(norm)]
        case FoldedGlobalPooling():
            g = 1 / sqrt(pixels)
            report = LayerReport(index, "global pooling", size, {"Pg": g}, {}, [], g, g, g, 0.0)
            return report, [_euclidean(g)]
        case FoldedHalving():
            g = pool2_norm(size)
            args = ({"P2": g}, {}, [], g, g, g, 0.0)
            return LayerReport(index, "halving", size, *args), [_euclidean(g)]
        case FoldedFlattening():
            args = ({}, {}, [], 1.0, 1.0, 1.0, 0.0)
            return LayerReport(index, "flattening", size, *args), [_euclidean(1)]
        case FoldedPooling(K, b):
            return _pooling(index, K, b, size)
        case FoldedSymmetric():
            return _symmetric(index, layer, size)
        case FoldedResidual():
            return _residual(index, layer, size, theorem)


def _pooling(
    index: int, K: Tensor, b: Tensor, size: tuple[int, int]
) -> tuple[LayerReport, list[Norm]]:
    """The Jacobians are D'(E P2 − D A) with diagonals 0 ≤ D, D' ≤ 1; D = (I + S)/2, ‖S‖ ≤ 1."""
    bound, exact = conv_norm_bound(K, size, 2)
    norm, p2 = float(bound), pool2_norm(size)
    L = best = p2 + norm
    (out, into, n, _), p = K.shape, K.shape[-1] // 2
    if exact and n > 1:
        EP2, d = torch.zeros_like(K), (out - into) // 2
        for i in range(into):
            EP2[d + i, i, p : p + 2, p : p + 2] = 1 / 4
        best = min(L, float(conv_norm(EP2 - K / 2, size, 2)) + norm / 2)
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    args = ({"A": norm}, {"b": _constant_features(b, half)}, [], L, best, p2, 0.0)
    return LayerReport(index, "2D pooling", size, *args, [] if exact else ["A"]), [_euclidean(best)]


def _midpoint(K1: Tensor, K2: Tensor, size: tuple[int, int], product: float) -> float:
    r"""A Lipschitz constant of x ↦ x − A2 σ(A1 x + b1), at most 1 + ‖A1‖‖A2‖ = 1 + ``product``.

    The difference quotients of σ form a diagonal D = (I + S)/2 with ‖S‖ ≤ 1, so
    ‖I − A2 D A1‖ ≤ ‖I − A2 A1/2‖ + ‖A2 T‖‖T⁻¹ A1‖/2 with any diagonal T > 0 that is constant on
    each channel: T = I, or one that balances the channels.
    """
    A2A1 = symbol(K2, size) @ symbol(K1, size)
    eye = torch.eye(A2A1.shape[-1], dtype=A2A1.dtype)
    T2 = K1.flatten(1).norm(dim=1) / K2.transpose(0, 1).flatten(1).norm(dim=1)
    T = torch.where(torch.isfinite(T2) & (T2 > 0), T2, 1.0).sqrt()[:, None, None]
    balanced = float(conv_norm(K2 * T, size) * conv_norm(K1 / T[..., None], size))
    return float(block_norm(eye - A2A1 / 2)) + min(product, balanced) / 2


def _at_zero(layer: FoldedResidual | FoldedSymmetric) -> Tensor:
    """The layer's value at x = 0, such as σ(b2 − A2 σ(b1)); one number a channel."""
    value = layer.b2 - layer.K2.sum((-2, -1)) @ relu(layer.b1)
    return value if isinstance(layer, FoldedSymmetric) and not layer.outer_relu else relu(value)


def _residual(
    index: int, layer: FoldedResidual, size: tuple[int, int], theorem: str
) -> tuple[LayerReport, list[Norm]]:
    K1, b1, K2, b2, stride = layer.K1, layer.b1, layer.K2, layer.b2, layer.stride
    bound, exact = conv_norm_bound(K1, size, stride)
    out = ((size[0] + stride - 1) // stride, (size[1] + stride - 1) // stride)
    norm1, norm2 = float(bound), float(conv_norm(K2, out))
    L = best = 1 + norm1 * norm2
    if stride == 1:
        best = min(L, _midpoint(K1, K2, size, norm1 * norm2))
    lowest = float(K2.min())
    checks = [_check("14", "−min K2 ≤ 0 (A2 ≥ 0)", max(-lowest, 0.0), 0)] if theorem else []
    norms = {"A1": norm1, "A2": norm2}
    biases = {"b1": _constant_features(b1, out), "b2": _constant_features(b2, out)}
    if lowest >= 0 and stride == 1:
        growth = 1.0, _constant_features(relu(b2), out)
    else:
        growth = best, _constant_features(_at_zero(layer), out)
    args = (norms, biases, checks, L, best, *growth, [] if exact else ["A1"])
    kind = "residual D" if theorem else "residual"
    return LayerReport(index, kind, size, *args), [_euclidean(best)]


def _symmetric(
    index: int, layer: FoldedSymmetric, size: tuple[int, int]
) -> tuple[LayerReport, list[Norm]]:
    """In the norm ‖D2^{-1/2} x‖ the layer is x ↦ σ(x − Bᵀ(±)σ(B x + …) + …): chapter 11.

    B = |D1|^{1/2} A D2^{1/2}; the sign is that of D1. Rows of B with a negative sign push the
    other way, so that the eigenvalues of the Jacobian lie in [1 − ‖B₊‖², 1 + ‖B₋‖²].
    """
    K1, K2, d1, d2 = layer.K1, layer.K2, layer.d1, layer.d2
    norm1, norm2 = float(conv_norm(K1, size)), float(conv_norm(K2, size))
    B = layer.K * d1.abs().sqrt()[:, None, None, None] * d2.sqrt()[:, None, None]
    plus, minus = (
        float(conv_norm(B[rows], size)) if bool(rows.any()) else 0.0 for rows in (d1 >= 0, d1 < 0)
    )
    weighted = max(1 + minus**2, plus**2 - 1)
    spread = float((d2.max() / d2.min()).sqrt())
    L = min(1 + norm1 * norm2, spread * weighted)
    best = min(L, _midpoint(K1, K2, size, norm1 * norm2))
    checks = [
        _check("15", "max D2 / min D2 ≤ 1 (Aᵀ after folding)", spread**2, 1),
        _check("15", "−min D1 ≤ 0 (γ ≥ 0)", max(-float(d1.min()), 0.0), 0),
        _check("24", "‖D1^½ A D2^½‖ ≤ √2", float(conv_norm(B, size)) if minus else plus, sqrt(2)),
    ]
    norms = {"A": float(conv_norm(layer.K, size)), "D1 A": norm1, "D2 Aᵀ": norm2}
    norms["D1^½ A D2^½"] = checks[-1].value
    biases = {"b1": _constant_features(layer.b1, size), "b2": _constant_features(layer.b2, size)}
    offset = _constant_features(_at_zero(layer), size)
    args = (norms, biases, checks, L, best, best, offset)
    w = d2.rsqrt()
    options = [_euclidean(best), (w, w, weighted)]
    return LayerReport(index, "residual S", size, *args), options


def _theorem(layers: list[LayerReport], theorem: str, enlarge: float) -> list[Constants]:
    """The constants of Theorem 5 or 6, as printed and as corrected."""
    residual = [r for r in layers if r.kind.startswith("residual")]
    ends = [r for r in layers if r.kind in ("convolution", "classifier")]
    pools = prod(1 + r.norms["A"] for r in layers if r.kind == "2D pooling")
    holds = all(c.holds for r in layers for c in r.checks)
    outer = sum(r.biases["b"] for r in ends)
    if theorem == "Theorem 6":
        c = outer + sum(sqrt(2) * r.biases["b1"] + r.biases["b2"] for r in residual)
        args = (pools * enlarge, holds, 1.0, c * enlarge, holds)
        return [
            Constants("printed", *args, "Eqs. 57 and 55"),
            Constants("corrected", *args, "the same; the sum in Eq. 55 is over residual layers"),
        ]
    product = prod(1 + r.norms["A1"] * r.norms["A2"] for r in residual)
    every = sum(sum(r.biases.values()) for r in layers)
    inner = outer + sum(r.biases["b2"] for r in residual)
    ends_hold = all(c.holds for r in ends for c in r.checks)
    printed = (product * enlarge, False, 1.0, every * enlarge, holds)
    corrected = (product * pools * enlarge, ends_hold, 1.0, inner * enlarge, holds)
    return [
        Constants("printed", *printed, "Eqs. 51 and 45; 51 leaves out the pooling layers"),
        Constants("corrected", *corrected, "with 1 + ‖A‖ for each pooling layer; without b1"),
    ]
