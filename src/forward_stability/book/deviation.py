r"""How far the network that runs in a page is from the one that was trained, proven.

Two things set them apart: the page has the weights of an exported file, 16 bits each, and it
computes in float64, convolutions by the method of Winograd. Both are bounded by an affine function
of :math:`\rho = \|x^0\|`, the norm of the image less its mean, so that a bound is valid for every
image, also for one that a reader draws.

With L a Lipschitz constant of a layer, a deviation D of its input becomes LD, and what the layer
adds by itself for an input of norm :math:`\nu_n` is added; norms grow by the gain and the offset
of a :class:`~forward_stability.report.LayerReport`:

.. math:: D_{n+1} = L_n D_n + d_n(\nu_n), \qquad \nu_{n+1} = g_n \nu_n + c_n + d_n(\nu_n).

Chapter 15.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt

import torch
from torch import Tensor

from forward_stability.certificates import certify_layers
from forward_stability.errors import InputError
from forward_stability.folding import (
    FoldedConv,
    FoldedFlattening,
    FoldedGlobalPooling,
    FoldedHalving,
    FoldedLinear,
    FoldedPooling,
    FoldedUnshuffling,
    bias_norm,
    input_channels,
    input_sizes,
)
from forward_stability.layer import Folded, Size
from forward_stability.report import LayerReport
from forward_stability.rounding import U, gamma, matrix_bound
from forward_stability.spectral import proven_norm

TINY = 2.0**-900
"""More than products that underflow can add to a layer: each is off by 2^-1075."""


@dataclass(frozen=True)
class Affine:
    """The bound ``offset`` + ``slope`` ν of a norm, by the norm ν of something else."""

    offset: float
    slope: float

    def __add__(self, other: "Affine") -> "Affine":
        return Affine(self.offset + other.offset, self.slope + other.slope)

    def __rmul__(self, factor: float) -> "Affine":
        return Affine(factor * self.offset, factor * self.slope)

    def of(self, inner: "Affine") -> "Affine":
        """The bound where ν itself has the bound ``inner``."""
        return Affine(self.offset, 0.0) + self.slope * inner


@dataclass(frozen=True)
class Deviation:
    r"""How far the scores of two networks are apart, for an image with :math:`\rho = \|x^0\|`.

    A difference of the scores of classes i and j differs between the two by at most

    .. math:: \|w_i - w_j\|\,f(\rho) + 2 s(\rho).

    Attributes:
        features: f, of the features in front of the classifier.
        scores: s, what the classifier adds to one score.
    """

    features: Affine
    scores: Affine


def rounding(layers: Sequence[Folded], size: Size) -> Deviation:
    """What rounding may change in the scores that ``live/network.js`` computes.

    Args:
        layers: of an exported file, the last one a classifier.
        size: the height and width of an image.
    """
    body, classifier = split(layers)
    reports = certify_layers(body, size, channels=input_channels(layers, size)).layers
    first = Affine(0.0, U), Affine(0.0, 1 + U)  # the mean is subtracted
    steps = [own_rounding(layer, entry) for layer, entry in _entries(body, size)]
    features, norm = _carry(reports, steps, *first, perturbed=True)
    W, b = classifier.W, classifier.b
    total = Affine(float(b.abs().max()), _longest(W)).of(norm)
    return Deviation(features, _up(gamma(W.shape[1] + 2) * total + Affine(TINY, 0.0)))


def rounding_of_weights(
    layers: Sequence[Folded], others: Sequence[Folded], size: Size
) -> Deviation:
    """How far the scores of a network are from those of the same one with other weights.

    Both in exact arithmetic.

    Args:
        layers: of the network as it was trained.
        others: those of the exported file.
        size: the height and width of an image.
    """
    (body, classifier), (other_body, other) = split(layers), split(others)
    channels = input_channels(layers, size)
    mine = certify_layers(body, size, channels=channels).layers
    theirs = certify_layers(other_body, size, channels=channels).layers
    reports = [replace(a, best=b.best) for a, b in zip(mine, theirs, strict=True)]
    steps = [
        own_distance(layer, changed, entry)
        for (layer, entry), changed in zip(_entries(body, size), other_body, strict=True)
    ]
    features, norm = _carry(reports, steps, Affine(0.0, 0.0), Affine(0.0, 1.0), perturbed=False)
    W, b = classifier.W - other.W, classifier.b - other.b
    return Deviation(features, _up(Affine(float(b.abs().max()), _longest(W)).of(norm)))


def split(layers: Sequence[Folded]) -> tuple[Sequence[Folded], FoldedLinear]:
    """The layers in front of the classifier, and the classifier."""
    if not layers or not isinstance(layers[-1], FoldedLinear):
        raise InputError("a certificate needs a classifier, a Linear, as the last layer")
    return layers[:-1], layers[-1]


def _entries(layers: Sequence[Folded], size: Size) -> list[tuple[Folded, Size]]:
    return list(zip(layers, input_sizes(layers, size), strict=True))


def _carry(
    reports: Sequence[LayerReport],
    steps: Sequence[Affine],
    deviation: Affine,
    norm: Affine,
    perturbed: bool,
) -> tuple[Affine, Affine]:
    """The deviation of the output and its norm; that of the computed one if it is perturbed."""
    for report, step in zip(reports, steps, strict=True):
        added = step.of(norm)
        deviation = _up(report.best * deviation + added)
        norm = Affine(report.offset, report.gain).of(norm)
        norm = _up(norm + added if perturbed else norm)
    return deviation, norm


def _up(bound: Affine) -> Affine:
    """Enlarged by the rounding of the few operations in which a step computes it."""
    return (1 + gamma(64)) * bound


def own_rounding(layer: Folded, size: Size) -> Affine:
    r"""What rounding changes in a layer of ``live/layers.js``, by the norm ν of its input.

    A sum or a difference z is off by :math:`u |z|`, a mean of n numbers by
    :math:`\gamma_{n+1}` times that of their absolute values; ReLU, padding and taking every second
    pixel are exact. For convolutions see :func:`winograd`.
    """
    match layer:
        case FoldedConv(K, b):
            return winograd(K, b, size)
        case FoldedPooling(K, b):
            own, pooled = winograd(K, b, size), Affine(0.0, 1 / 2)
            other = Affine(bias_norm(b, size), proven_norm(K, size)) + own
            return _up(own + gamma(3) * pooled + U * (other + (1 + gamma(3)) * pooled))
        case FoldedGlobalPooling():
            pixels = prod(size)
            return _up(Affine(TINY, gamma(pixels + 1) / sqrt(pixels)))
        case FoldedHalving():
            return _up(Affine(TINY, gamma(3) / 2))
        case FoldedFlattening():
            return Affine(0.0, 0.0)
        case FoldedUnshuffling(W, b):
            products = Affine(bias_norm(b, layer.output_size(size)), matrix_bound(W.abs()))
            return _up(gamma(W.shape[1] + 1) * products + Affine(TINY, 0.0))
    K1, b1, K2, b2 = residual(layer)
    out = layer.output_size(size)
    first, second = winograd(K1, b1, size), winograd(K2, b2, out)
    norm2 = proven_norm(K2, out)
    hidden = Affine(bias_norm(b1, size), proven_norm(K1, size)) + first
    minus = Affine(bias_norm(b2, out), norm2) + second
    added = U * (Affine(0.0, 1.0) + minus.of(hidden))
    return _up(norm2 * first + second.of(hidden) + added)


def own_distance(layer: Folded, other: Folded, size: Size) -> Affine:
    r"""How far two layers that differ in their weights take one input of norm ν apart.

    For residual layers, with :math:`\Delta` the difference and a tilde at the other's,

    .. math:: \|\tilde A_2\|\,(\|\Delta A_1\|\,\nu + \|\Delta b_1\|)
              + \|\Delta A_2\|\,(\|A_1\|\,\nu + \|b_1\|) + \|\Delta b_2\| .
    """
    match layer, other:
        case (FoldedConv(K, b), FoldedConv(L, c)) | (FoldedPooling(K, b), FoldedPooling(L, c)):
            return _apart(K, L, b, c, size)
        case (FoldedGlobalPooling() | FoldedHalving() | FoldedFlattening(), _):
            return Affine(0.0, 0.0)
        case FoldedUnshuffling(W, b), FoldedUnshuffling(V, c):
            return _apart(W[..., None, None], V[..., None, None], b, c, layer.output_size(size))
    (K1, b1, K2, b2), (L1, c1, L2, c2) = residual(layer), residual(other)
    out = layer.output_size(size)
    hidden = Affine(bias_norm(b1, size), proven_norm(K1, size))
    first, second = _apart(K1, L1, b1, c1, size), _apart(K2, L2, b2, c2, out)
    return _up(proven_norm(L2, out) * first + second.of(hidden))


def residual(layer: Folded) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """K1, b1, K2, b2 of a residual layer.

    Raises:
        InputError: for a layer of another kind, of which nothing is known here.
    """
    try:
        return tuple(getattr(layer, name) for name in ("K1", "b1", "K2", "b2"))  # type: ignore[return-value]
    except AttributeError:
        raise InputError(f"a layer of kind '{layer.kind}' has no bound in the page") from None


def _apart(K: Tensor, L: Tensor, b: Tensor, c: Tensor, size: Size) -> Affine:
    """‖(A − Ã) x + b − b̃‖ by ‖x‖; the entries of the differences are rounded as well."""
    D = K - L
    norm = proven_norm(D, size) + K.shape[-1] * gamma(2) * float(D.norm())
    return _up(Affine(bias_norm(b - c, size), norm))


def _longest(W: Tensor) -> float:
    """The largest norm of a row, rounded upwards."""
    return float(W.norm(dim=1).max()) * (1 + gamma(W.shape[1] + 8))


G = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
"""G of Winograd's F(2, 3), as ``live/convolution.js`` has it."""

BT = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]).double()
"""Its Bᵀ."""

AT = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1]], dtype=torch.float64)
"""Its Aᵀ."""


def winograd(K: Tensor, b: Tensor, size: Size) -> Affine:
    r"""What rounding changes in K * x + b as ``live/convolution.js`` computes it, by ‖x‖.

    Two by two pixels y come from four by four pixels d of each of C channels,

    .. math:: y = A^T \Bigl(\sum_c (G K_c G^T) \circ (B^T d_c B)\Bigr) A + b .

    An entry of :math:`G K_c G^T` is rounded four times, of :math:`B^T d_c B` twice, the sum
    of products C times and the sums with A and b five times, so that, entry by entry,

    .. math:: |\hat y - y| \le \gamma_{C + 11} \Bigl(|A|^T \Bigl(\sum_c (|G| |K_c| |G|^T)
              \circ (|B|^T |d_c| |B|)\Bigr) |A| + |b|\Bigr).

    The sum is linear in :math:`|d|`, with a matrix T, and a pixel lies in m of the squares at
    most (4 where the sides are even): the norm is at most
    :math:`\gamma_{C + 11} (\|T\| \sqrt m\,\|x\| + \|b\|)`.

    Args:
        K: shape ``(out, in, 3, 3)``, float64.
        b: shape ``(out,)``.
        size: the height and width of x.

    Source: Lavin and Gray (2016); the bound is that of Higham, Accuracy and Stability of Numerical
    Algorithms (2002), for products of matrices.
    """
    a, g, t = AT.abs(), G.abs(), BT.abs()
    C = K.shape[1]
    U4 = torch.einsum("ak,ockl,bl->ocab", g, K.abs(), g)
    T = torch.einsum("ia,jb,ocab,ap,bq->oijcpq", a, a, U4, t, t)
    norm = matrix_bound(T.reshape(4 * K.shape[0], 16 * C)) * (1 + gamma(64))
    overlap = prod(_overlap(side) for side in size)
    bound = Affine(bias_norm(b, size), norm * sqrt(overlap))
    return _up(gamma(C + 11) * bound + Affine(TINY, 0.0))


def _overlap(side: int) -> int:
    """In how many of the squares a row of pixels lies at most; of 4 rows, one every 2 rows."""
    rows = [(2 * i + k - 1) % side for i in range((side + 1) // 2) for k in range(4)]
    return max(map(rows.count, range(side)))
