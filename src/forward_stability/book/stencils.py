r"""How much of a filter averages and how much takes differences, beside what chance gives.

The nine numbers of a 3x3 stencil split into three orthogonal parts,

.. math:: \mathbb R^9 = \text{average} \oplus \text{first differences} \oplus
          \text{second differences}, \qquad 9 = 1 + 4 + 4.

Averages are the constant stencils, first differences the odd ones, k(−p) = −k(p), and second
differences the even ones of sum zero. A share of a filter's energy says little by itself: noise has
one too. So every statistic comes with its distribution under chance. Chapter 12.
"""

from math import pi

import torch
from scipy import stats
from torch import Tensor

from forward_stability.errors import InputError


def _orthonormal(stencils: list[list[int]]) -> Tensor:
    rows = torch.tensor(stencils, dtype=torch.float64)
    return torch.linalg.qr(rows.T).Q.T.reshape(-1, 3, 3)


AVERAGE = _orthonormal([[1, 1, 1, 1, 1, 1, 1, 1, 1]])
"""The mean of the nine pixels."""

FIRST = _orthonormal(
    [
        [0, 0, 0, -1, 0, 1, 0, 0, 0],
        [0, -1, 0, 0, 0, 0, 0, 1, 0],
        [-1, 0, 0, 0, 0, 0, 0, 0, 1],
        [0, 0, -1, 0, 0, 0, 1, 0, 0],
    ]
)
"""x(p) − x(−p) in four directions; Sobel's and Prewitt's stencils are among their sums."""

SECOND = _orthonormal(
    [
        [0, 0, 0, 1, -2, 1, 0, 0, 0],
        [0, 1, 0, 0, -2, 0, 0, 1, 0],
        [1, 0, 0, 0, -2, 0, 0, 0, 1],
        [0, 0, 1, 0, -2, 0, 1, 0, 0],
    ]
)
"""x(p) − 2 x(0) + x(−p) in four directions; Laplacians are among their sums."""

SLOPE = _orthonormal([[-1, 0, 1, -1, 0, 1, -1, 0, 1], [-1, -1, -1, 0, 0, 0, 1, 1, 1]])
"""The two components of a smooth gradient (Prewitt's stencils), half of :data:`FIRST`."""


def energy(K: Tensor, stencils: Tensor) -> Tensor:
    r"""The energy of every stencil of a filter in a span: ‖Pk‖², P the projection onto the span.

    Args:
        K: shape ``(..., 3, 3)``.
        stencils: an orthonormal basis of the span, shape ``(r, 3, 3)``, such as :data:`FIRST`.

    Returns:
        float64, shape ``(...)``.

    Raises:
        InputError: if K is not made of 3x3 stencils.

    Chapter 12.
    """
    if K.shape[-2:] != (3, 3):
        raise InputError(f"the stencils must be 3x3, got the shape {tuple(K.shape)}")
    parts = K.detach().double().flatten(-2) @ stencils.flatten(-2).T
    return parts.square().sum(-1)


def share(K: Tensor, stencils: Tensor) -> Tensor:
    r"""The share of a filter's energy that lies in a span, over all pairs of channels:

    .. math:: \sum_{o,i} \|P k_{oi}\|^2 \Big/ \sum_{o,i} \|k_{oi}\|^2 \in [0, 1].

    The shares of :data:`AVERAGE`, :data:`FIRST` and :data:`SECOND` have the sum 1. The gain of the
    filter's convolution at frequency zero, :math:`\|\hat A(0, 0)\|_F^2`, is 9 times the share of
    :data:`AVERAGE` in its mean over all frequencies.

    Args:
        K: shape ``(..., out, in, 3, 3)``.
        stencils: as for :func:`energy`.

    Returns:
        float64, shape ``(...)``.

    Chapter 12.
    """
    total = K.detach().double().square().sum((-4, -3, -2, -1))
    return energy(K, stencils).sum((-2, -1)) / total


def noise_share(stencils: Tensor, count: int = 1) -> stats.rv_continuous:
    r"""The share of white noise: ``count`` stencils of independent N(0, σ²) numbers.

    The projections onto r orthonormal stencils and onto the other 9 − r have χ² distributed
    energies, so that their share is

    .. math:: \mathrm{Beta}\left(\tfrac{nr}2, \tfrac{n(9-r)}2\right), \quad \text{mean } r/9.

    This is the distribution for a filter before training, and for n = 1 that of any stencil whose
    direction in R^9 is uniform.

    Returns:
        a frozen distribution of scipy.stats, with ``mean()``, ``std()``, ``cdf`` and ``sf``.

    Chapter 12.
    """
    r = len(stencils)
    return stats.beta(count * r / 2, count * (9 - r) / 2)  # type: ignore[no-any-return]


def projected_share(stencils: Tensor) -> float:
    r"""The share of white noise that is projected onto K ≥ 0, for many stencils.

    max(z, 0) with z ~ N(0, σ²) has the mean μ = σ/√(2π), and its square the mean σ²/2. With the
    variance v = σ²/2 − μ²,

    .. math:: \frac{v \operatorname{tr} P + \mu^2\, 1^T P 1}{9 (v + \mu^2)}
              = \frac{r}{9}\left(1 - \frac1\pi\right) + \frac{1^T P 1}{9 \pi}.

    For :data:`AVERAGE` this is (1 + 8/π)/9 = 0.394, far above the 1/9 of noise: a nonnegative
    filter looks like an average before it has learnt anything. Chapter 12.
    """
    total = float(stencils.sum((-2, -1)).square().sum())  # 1ᵀP1
    return len(stencils) / 9 * (1 - 1 / pi) + total / (9 * pi)


def projected_shares(
    K: Tensor, stencils: Tensor, draws: int = 1000, *, generator: torch.Generator
) -> Tensor:
    """Draws of the share of a filter of the shape of K that is white noise projected onto K ≥ 0.

    This is the distribution for the K2 of ResNet-D before training. Its mean is close to
    :func:`projected_share`. Shape ``(draws,)``. Chapter 12.
    """
    noise = torch.randn(draws, *K.shape, generator=generator, dtype=torch.float64)
    return share(noise.clamp(min=0), stencils)


def shuffled_shares(
    K: Tensor, stencils: Tensor, draws: int = 1000, *, generator: torch.Generator
) -> Tensor:
    """Draws of the share of the filter after all its numbers have been put in random places.

    A permutation test: it keeps signs, sizes and zeros of the numbers, whatever their distribution,
    and takes away where they stand. Shape ``(draws,)``. Chapter 12.
    """
    numbers = K.detach().double().flatten()
    order = torch.rand(draws, len(numbers), generator=generator).argsort(dim=1)
    return share(numbers[order].reshape(draws, *K.shape), stencils)


def p_value(value: Tensor | float, draws: Tensor) -> float:
    """The chance of a draw at least as large as the value, (1 + #{draws ≥ value}) / (1 + draws).

    With the ones it is valid for any number of draws: at most a fraction p of values that are
    draws themselves have a p-value of at most p. Chapter 12.
    """
    return (1 + int((draws >= value).sum())) / (1 + len(draws))
