r"""Bounds that floating-point arithmetic cannot break.

The standard model: an operation on numbers of float64 is off by a factor 1 + δ with
:math:`|\delta| \le u = 2^{-53}`, so that a sum of n products, in any order, with or without fused
operations, is off by at most :math:`\gamma_n \sum |a_i b_i|`, :math:`\gamma_n = nu/(1 - nu)`.
Numbers are first divided by a power of two, which is exact, so that the largest is about 1: what
underflows then is below :math:`2^{-1021}` and disappears in one more u.

Nothing that LAPACK returns is believed: the norm of a matrix comes from squarings, in which
products of matrices are all that is computed. Chapter 15.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import frexp, inf, nextafter

import torch
from torch import Tensor

from forward_stability.errors import InputError

U = 2.0**-53
"""The unit roundoff u of float64."""

SQUARINGS = 50
"""After so many, the Frobenius norm is the spectral norm up to the factor r^{2^-51} for rank r."""


def gamma(n: int) -> float:
    r"""A bound of :math:`\gamma_n = nu/(1 - nu)` for n up to 10^13, itself rounded upwards."""
    return 1.01 * n * U


def sum_error(terms: int, sums: Tensor) -> Tensor:
    """A bound of the rounding errors of sums of ``terms`` products, from those of absolute values.

    γₙ times the exact sum of absolute values, which is at most (1 + γₙ) times the computed one.
    """
    return gamma(terms) * sums * (1 + gamma(terms))


def power_of_two(x: Tensor) -> float:
    """The power of two by which x is divided so that its largest entry is about 1; 1 for zeros.

    Raises:
        InputError: if an entry is not finite.
    """
    if not bool(torch.isfinite(x).all()):
        raise InputError("a weight is not finite, so that nothing can be proven of it")
    largest = float(x.abs().max()) if x.numel() else 0.0
    return 2.0 ** min(max(frexp(largest)[1], -1021), 1023)


@dataclass(frozen=True)
class Ball:
    r"""Matrices that are known up to an error: :math:`\{M : \|M - C\|_F \le r\}`, a batch of them.

    Attributes:
        centre: C, real or complex float64, shape ``(..., rows, columns)``.
        radius: r, float64, shape ``(...)``.
    """

    centre: Tensor
    radius: Tensor

    @property
    def size(self) -> Tensor:
        """An upper bound of the Frobenius norm, shape ``(...)``."""
        return frobenius(self.centre) + self.radius

    def __matmul__(self, other: "Ball") -> "Ball":
        """The products of any two."""
        a, b, inner = frobenius(self.centre), frobenius(other.centre), self.centre.shape[-1]
        radius = a * other.radius + self.radius * (b + other.radius) + gamma(3 * inner + 4) * a * b
        return Ball(self.centre @ other.centre, radius * (1 + gamma(8)))

    def from_identity(self, factor: float) -> "Ball":
        """I − M · ``factor`` for all M; the factor is a power of two."""
        centre = torch.eye(self.centre.shape[-1], dtype=self.centre.dtype) - self.centre * factor
        radius = self.radius * factor + gamma(2) * frobenius(centre)
        return Ball(centre, radius * (1 + gamma(4)))

    def minus(self, other: "Ball", factor: float) -> "Ball":
        """M − N · ``factor`` for all pairs; the factor is a power of two."""
        centre = self.centre - other.centre * factor
        radius = self.radius + other.radius * factor + gamma(2) * frobenius(centre)
        return Ball(centre, radius * (1 + gamma(4)))

    def is_positive(self) -> bool:
        """Whether all of them, Hermitian, are positive definite: F M Fᴴ within 1 of I for an F."""
        factor, info = torch.linalg.cholesky_ex(self.centre)
        if bool(info.any()):
            return False
        eye = torch.eye(factor.shape[-1], dtype=factor.dtype).expand_as(factor)
        exact = torch.zeros_like(self.radius)
        F = Ball(torch.linalg.solve_triangular(factor, eye, upper=False), exact)
        rest = (F @ self @ Ball(F.centre.mH.resolve_conj(), exact)).from_identity(1.0)
        return bool((rest.size < 1).all())

    def norm(self) -> float:
        """An upper bound of the spectral norms of all of them, of the whole batch."""
        scale, radius = power_of_two(self.centre), float(self.radius.max())
        bound = rescaled(largest_bound((self.centre / scale).flatten(0, -3)), scale)
        return (bound + radius) * (1 + gamma(2))


def frobenius(x: Tensor) -> Tensor:
    """An upper bound of the Frobenius norm of x, whose entries are about 1, shape ``(...)``."""
    parts = torch.view_as_real(x).flatten(-3) if x.is_complex() else x.flatten(-2)
    return torch.linalg.vecdot(parts, parts).sqrt() * (1 + gamma(parts.shape[-1] + 4))


def spectral_bound(G: Tensor, squarings: int = SQUARINGS) -> Tensor:
    r"""An upper bound of the largest singular value, for exactly the numbers in G.

    :math:`\|G\|_2^2 = \|G^H G\|_2`. With :math:`G_{i+1}` the computed product, divided by a power
    of two, and :math:`e_i` a bound of its rounding errors,

    .. math:: \|G_i\|_2 \le \sqrt{2^{k_i} (\|G_{i+1}\|_2 + e_i)}, \qquad
              \|G_t\|_2 \le \|G_t\|_F.

    An error made in step i is divided by :math:`2^i` on its way back, and so is the logarithm of
    :math:`\|G_t\|_F / \|G_t\|_2 \le \sqrt r`. Every t gives a bound; the last one is that where
    less than a relative 1e-14 can be gained: if :math:`\|G^H G\|_F = (1 - d) \|G\|_F^2`, then
    :math:`\|G\|_F \le \|G\|_2 / (1 - d)`.

    Args:
        G: real or complex float64, entries about 1 in size, shape ``(..., rows, columns)``.
        squarings: t at most.

    Returns:
        shape ``(...)``; above the exact value by a relative 1e-13 or so.

    Source: Gram iteration, Delattre et al. (2023), with its rounding. Chapter 15.
    """
    G, steps = G.mH.resolve_conj() if G.shape[-2] < G.shape[-1] else G, []
    bound = frobenius(G)
    for step in range(squarings):
        exponent = torch.frexp(bound * bound)[1]
        shrink = torch.ldexp(torch.ones_like(bound), -exponent)
        square = bound * bound * shrink
        steps.append((exponent, gamma(3 * G.shape[-2] + 4) * square))
        G = (G.mH @ G) * shrink[..., None, None]
        bound = frobenius(G)
        if bool((bound >= square * (1 - 1e-14 * 2**step)).all()):
            break
    for exponent, error in reversed(steps):
        bound = torch.ldexp(bound + error, exponent).sqrt() * (1 + gamma(4))
    return bound


def largest_bound(G: Tensor) -> float:
    """An upper bound of the largest singular value of a batch, shape ``(blocks, rows, columns)``.

    A few squarings say which blocks may have it; the others keep the bound that they have then.
    """
    rough = spectral_bound(G, 6)
    near = rough > 0.96 * rough.max()  # 6 squarings are off by a factor r^{1/128}
    return max(
        float(bound.max()) for bound in (rough[~near], spectral_bound(G[near])) if len(bound)
    )


def matrix_bound(W: Tensor) -> float:
    """An upper bound of the spectral norm of a matrix of float64, of any scale.

    Raises:
        InputError: if an entry is not finite.
    """
    scale = power_of_two(W)
    return rescaled(largest_bound((W / scale)[None]), scale)


def rescaled(bound: float, scale: float) -> float:
    """bound · scale, rounded upwards where it leaves the range of the normal numbers."""
    return nextafter(bound * scale, inf) if bound else 0.0


@lru_cache(maxsize=64)
def roots_of_unity(n: int) -> tuple[Tensor, Tensor]:
    """cos(2πk/n) and sin(2πk/n) for k = 0, …, n − 1, each within u of the exact value.

    Computed in integers: 2π to 40 digits, and Taylor's series in units of 2^-120.
    """
    one = 1 << 120
    two_pi = 62831853071795864769252867665590057683943387987502 * one // 10**49
    cosines, sines = [], []
    for k in range(n):
        angle = two_pi * k // n
        real, imaginary, term, j = 0, 0, one, 0
        while term:
            sign = -1 if j % 4 in (2, 3) else 1
            if j % 2:
                imaginary += sign * term
            else:
                real += sign * term
            j += 1
            term = term * angle // (j * one)
        cosines.append(real / one)
        sines.append(imaginary / one)
    return torch.tensor(cosines, dtype=torch.float64), torch.tensor(sines, dtype=torch.float64)
