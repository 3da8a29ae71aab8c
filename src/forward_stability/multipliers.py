r"""One inequality for every residual layer.

For hidden units :math:`s = \sigma(A_1x + b) - \sigma(A_1y + b)` and :math:`w = x - y`, each
:math:`s_i (A_1w)_i \ge s_i^2`. Weigh these with multipliers :math:`T_i > 0` and add them to
:math:`\|w - A_2s\|^2`: what is left is quadratic in w and s, so that

.. math:: L^2 = 1 + \rho \quad\text{if}\quad M = \begin{pmatrix} \rho I & B \\
          B^* & 2T - A_2^*A_2 \end{pmatrix} \succeq 0, \qquad B = A_2 - A_1^*T .

For periodic convolutions and a T that is constant on each channel, M falls apart into one small
matrix for each frequency. Lemma 2, convex potential layers and SLL are special choices of T.
Chapter 15.
"""

from dataclasses import dataclass
from math import inf, log2, sqrt

import torch
from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.rounding import Ball, gamma, power_of_two
from forward_stability.spectral import proven_symbol

GROWTH, FREQUENCIES = 3.0, 12


@dataclass(frozen=True)
class Multiplier:
    """A choice of T and the constant that is proven with it.

    Attributes:
        T: the multipliers, one for each hidden channel, float64, shape ``(h,)``.
        constant: the Lipschitz constant L, rounding included; infinite if nothing was proven.
        gap: no T gives an L² below this L² − ``gap``, up to the rounding of the search.
    """

    T: Tensor
    constant: float
    gap: float


@torch.no_grad()
def lipschitz(
    K1: Tensor, K2: Tensor, size: tuple[int, int] = (1, 1), precision: float = 1e-3
) -> Multiplier:
    r"""The best L of the inequality for x ↦ x − A2 σ(A1 x + b), whatever b.

    The least ρ is a convex problem in (ρ, T): Newton's method on
    :math:`t\rho - \sum_\omega \log\det M(\omega)` for a growing t, which is at most
    :math:`\nu / t` above the optimum, ν the number of rows of all M together.

    Args:
        K1: the filter of A1, float64, shape ``(h, d, n, n)``, or a matrix ``(h, d)``.
        K2: the filter of A2, float64, shape ``(d, h, n, n)``, or a matrix ``(d, h)``.
        size: the height and width of x.
        precision: how far L² may be from the optimum, relative to it.

    Returns:
        T, L and the gap; L is proven for exactly the numbers in K1 and K2.

    Raises:
        InputError: if the shapes do not fit or an entry is not finite.

    Source: LipSDP (Fazlyab et al. 2019) for one residual layer, decoupled over frequencies.
    Chapter 15.
    """
    K1, K2 = (K[..., None, None] if K.dim() == 2 else K for K in (K1, K2))
    if K1.dim() != 4 or K2.dim() != 4 or K1.shape[:2] != K2.shape[1::-1]:
        raise InputError(
            "K1 must have the shape (h, d, n, n) and K2 (d, h, n, n), got "
            f"{tuple(K1.shape)} and {tuple(K2.shape)}"
        )
    if not bool(torch.isfinite(K1).all() and torch.isfinite(K2).all()):
        raise InputError("K1 and K2 must be finite, but have NaN or infinite entries")
    K1, K2 = K1.double(), K2.double()
    # A unit that gets nothing, or gives nothing, is constant, or does not matter.
    used = (K1.flatten(1) != 0).any(1) & (K2.transpose(0, 1).flatten(1) != 0).any(1)
    T = torch.zeros(len(K1), dtype=torch.float64)
    if not bool(used.any()):
        return Multiplier(T, 1.0, 0.0)
    K1, K2, units = balanced(K1[used], K2[:, used])
    A1, A2 = (proven_symbol(K, size) for K in (K1, K2))
    rho, part, gap = minimise(A1.centre, A2.centre, precision)
    T[used] = part * units
    for room in (1e-12, 1e-10, 1e-8, 1e-6):
        raised = rho * (1 + room) + room
        if _ball(A1, A2, raised, part).is_positive():
            return Multiplier(T, sqrt(1 + raised) * (1 + gamma(8)), gap + raised - rho)
    return Multiplier(T, inf, inf)


def balanced(K1: Tensor, K2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each hidden unit scaled by a power of two, which no layer notices: A2 D⁻¹ σ(D A1 x + D b).

    The multipliers of the unscaled layer are those of the scaled one times D², the third result.
    """
    scale1, scale2 = power_of_two(K1), power_of_two(K2)
    sizes1 = (K1 / scale1).flatten(1).norm(dim=1)
    sizes2 = (K2 / scale2).transpose(0, 1).flatten(1).norm(dim=1)
    exponent = ((sizes2 / sizes1).log2() + log2(scale2) - log2(scale1)) / 2
    D = torch.ldexp(torch.ones_like(sizes1), exponent.round().int())
    return K1 * D[:, None, None, None], K2 / D[:, None, None], D.square()


def _matrix(A1: Tensor, A2: Tensor, rho: float, T: Tensor) -> Tensor:
    """M of every frequency, shape ``(frequencies, d + h, d + h)``."""
    d = A2.shape[-2]
    B = A2 - A1.mH * T
    top = torch.cat([(rho * torch.eye(d, dtype=B.dtype)).expand(len(B), d, d), B], -1)
    corner = torch.diag(2 * T) - A2.mH @ A2
    return torch.cat([top, torch.cat([B.mH, corner], -1)], -2)


def minimise(A1: Tensor, A2: Tensor, precision: float) -> tuple[float, Tensor, float]:
    """ρ, T and the gap: the frequencies that matter first, and then those that T breaks."""
    least = float(torch.linalg.eigvalsh(A2.mH @ A2).max()) + 1e-8
    T = torch.full(A1.shape[-2:-1], 0.75 * least, dtype=torch.float64)
    needed, chosen = _needed(A1, A2, T), torch.zeros(len(A1), dtype=torch.bool)
    while True:
        chosen[needed.topk(min(FREQUENCIES, len(A1))).indices] = True
        while bool(_needed(A1[chosen], A2[chosen], T).isinf().any()):
            T = 1.2 * T
        lower, T = _newton(A1[chosen], A2[chosen], T, precision)
        needed = _needed(A1, A2, T)
        rho = float(needed.max())
        if rho < inf and (rho - lower <= precision * (1 + rho) or bool(chosen.all())):
            return rho, T, rho - lower


def _needed(A1: Tensor, A2: Tensor, T: Tensor) -> Tensor:
    """The least ρ of every frequency for this T; infinite where 2T − A2*A2 is not positive."""
    factor, info = torch.linalg.cholesky_ex(torch.diag(2 * T) - A2.mH @ A2)
    side = torch.linalg.solve_triangular(factor, (A2 - A1.mH * T).mH, upper=False)
    rho = torch.linalg.matrix_norm(side.where((info == 0)[:, None, None], 0), ord=2).square()
    return rho.where(info == 0, inf)


def _newton(A1: Tensor, A2: Tensor, T: Tensor, precision: float) -> tuple[float, Tensor]:
    """A lower bound of the least ρ, and T, by Newton's method on the barrier from a feasible T."""
    rho, nu = 1.2 * float(_needed(A1, A2, T).max()) + 1e-6, len(A1) * sum(A1.shape[-2:])
    log_det, factor = _log_det(A1, A2, rho, T)
    t = nu / (1 + rho)
    while True:
        gradient, hessian = _derivatives(A1, t, torch.cholesky_inverse(factor))
        step = -torch.linalg.solve(hessian, gradient)
        decrement, length = -float(gradient @ step), 1.0
        if decrement < 0.1:
            if nu / t <= 0.3 * precision * (1 + rho):
                return rho - 1.5 * nu / t, T
            t *= GROWTH
            continue
        while True:
            trial = rho + length * float(step[0]), T + length * step[1:]
            new, factor = _log_det(A1, A2, *trial)
            change = t * length * float(step[0]) - (new - log_det)
            if change <= -0.1 * length * decrement:
                (rho, T), log_det = trial, new
                break
            length /= 2
            if length < 1e-9:  # rounding allows no more
                return rho - 1.5 * nu / t, T


def _log_det(A1: Tensor, A2: Tensor, rho: float, T: Tensor) -> tuple[float, Tensor]:
    """Σ log det M and Cholesky's factors; −∞ where an M is not positive."""
    factor, info = torch.linalg.cholesky_ex(_matrix(A1, A2, rho, T))
    if bool(info.any()):
        return -inf, factor
    return 2 * float(torch.diagonal(factor.real, dim1=-2, dim2=-1).log().sum()), factor


def _derivatives(A1: Tensor, t: float, W: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian of tρ − Σ log det M in (ρ, T), with W = M⁻¹.

    ∂M/∂Tᵢ = −(pᵢ eᵢ* + eᵢ pᵢ*), where eᵢ is the i-th unit vector of the hidden units and −pᵢ is eᵢ
    below the i-th row of A1, conjugate and with the opposite sign.
    """
    h, d = A1.shape[-2:]
    P = torch.cat([A1.mH, -torch.eye(h, dtype=A1.dtype).expand(len(A1), h, h)], -2)
    WP = W @ P
    X, Y, Z, top = WP[:, d:], W[:, d:, d:], P.mH @ WP, W[:, :d, :d]
    mixed = -2 * torch.einsum("fid,fdi->i", W[:, d:, :d], WP[:, :d]).real
    gradient = torch.cat(
        [
            t - torch.diagonal(top.real, dim1=-2, dim2=-1).sum()[None],
            2 * torch.diagonal(X.real, dim1=-2, dim2=-1).sum(0),
        ]
    )
    corner = 2 * (X * X.mT + Y * Z.mT).real.sum(0)
    first = torch.cat([top.abs().square().sum()[None], mixed])
    hessian = torch.cat([first[None], torch.cat([mixed[:, None], corner], 1)])
    return gradient, hessian


def _ball(A1: Ball, A2: Ball, rho: float, T: Tensor) -> Ball:
    """M of every frequency, with the errors of the symbols and of its computation."""
    diagonal = Ball(torch.diag(T).to(A1.centre.dtype), torch.zeros(1, dtype=torch.float64))
    T1 = Ball(A1.centre.mH.resolve_conj(), A1.radius) @ diagonal
    square = Ball(A2.centre.mH.resolve_conj(), A2.radius) @ A2
    centre = _matrix(A1.centre, A2.centre, rho, T)
    radius = 2 * (T1.radius + A2.radius) + square.radius + gamma(8) * Ball(centre, A2.radius).size
    return Ball(centre, radius * (1 + gamma(8)))
