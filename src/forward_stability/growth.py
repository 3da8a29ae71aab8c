r"""The right-hand sides of Theorems 2 to 4 on a time grid, and the nonlinear Gronwall inequality.

All five bounds have one form. With a rate c(t) ≥ 0 and a source g(t) ≥ 0,

.. math:: v(t) = v_0 \exp\Bigl(\int_0^t c\Bigr) + \int_0^t g(s) \exp\Bigl(\int_s^t c\Bigr)\,ds,
          \qquad\text{that is}\qquad v' = c\,v + g,\ v(0) = v_0.

=====  ==========  ==============  =======================  ====================================
Eq.    variant     bounds          c                        g
=====  ==========  ==============  =======================  ====================================
7      any         ‖x(t)‖          ‖A1‖‖A2‖                 ‖A2‖‖b1‖ + ‖σ(b2)‖
8      any         ‖x(t) − y(t)‖   ‖A1‖‖A2‖                 0
10     ResNet-D    ‖x(t)‖          0                        ‖σ(b2)‖
12     ResNet-S    ‖x(t)‖          0                        ‖σ(−Aᵀσ(b1) + b2)‖
13     ResNet-S    ‖x(t) − y(t)‖   0                        0
=====  ==========  ==============  =======================  ====================================

Norms are Euclidean, of matrices spectral. Chapters 4 to 6.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.flow import ResNetDFlow, ResNetFlow, ResNetSFlow, check_times
from forward_stability.prox import relu

EQUATIONS: dict[int, type[ResNetFlow]] = {
    7: ResNetFlow,
    8: ResNetFlow,
    10: ResNetDFlow,
    12: ResNetSFlow,
    13: ResNetSFlow,
}
"""Each bound by its number in the paper, and the flow to which it applies."""

NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)
"""Gauss-Legendre quadrature on [−1, 1], exact for polynomials up to degree 15."""

ROUNDING = 1e-15
"""Two halves never agree better than this with the whole."""

Rates = Callable[[float], tuple[Tensor, Tensor]]


class Bound(NamedTuple):
    """A bound at each time, shape ``(K,)`` or ``(K, batch)``, and its estimated relative error.

    The error is 0 where the integrals are exact up to rounding (piecewise constant weights).
    """

    values: Tensor
    error: float


def rates(flow: ResNetFlow, equation: int, t: float) -> tuple[Tensor, Tensor]:
    """The rate c(t) and the source g(t) of one of the five bounds, each a number (or a batch).

    Args:
        flow: the weights and biases.
        equation: 7, 8, 10, 12 or 13.
        t: the time.

    Raises:
        InputError: if there is no such bound, or the flow is not of the variant it needs.

    Source: Theorems 2, 3 and 4. Chapters 4 to 6.
    """
    if equation not in EQUATIONS:
        raise InputError(f"equation must be one of {sorted(EQUATIONS)}, got {equation}")
    if not isinstance(flow, EQUATIONS[equation]):
        raise InputError(
            f"equation {equation} holds for {EQUATIONS[equation].variant}, "
            f"but flow is a {flow.variant}"
        )
    A1, A2, b1, b2 = flow.weights(t)
    zero = torch.zeros((), dtype=torch.float64, device=A1.device)
    if equation == 13:
        return zero, zero
    if equation == 12:
        inner = (A2 @ relu(b1).unsqueeze(-1)).squeeze(-1)
        return zero, relu(b2 - inner).norm(dim=-1)
    if equation == 10:
        return zero, relu(b2).norm(dim=-1)
    norm2 = torch.linalg.matrix_norm(A2, ord=2)
    rate = torch.linalg.matrix_norm(A1, ord=2) * norm2
    return rate, zero if equation == 8 else norm2 * b1.norm(dim=-1) + relu(b2).norm(dim=-1)


def bound(flow: ResNetFlow, equation: int, start: Any, times: Any, tol: float = 1e-9) -> Bound:
    """The right-hand side of Eq. 7, 8, 10, 12 or 13 at each time.

    For piecewise constant weights the integrals are done in closed form. For functions of time
    they are done by adaptive quadrature: an interval is halved until the two halves agree with the
    whole to ``tol``.

    Args:
        flow: the weights and biases.
        equation: the number of the bound in the paper.
        start: ‖x(0)‖ (Eqs. 7, 10, 12) or ‖x(0) − y(0)‖ (Eqs. 8, 13), a number or ``(batch,)``.
        times: increasing times, of which the first is that of the start, shape ``(K,)``.
        tol: for functions of time, the relative error wanted of an integral.

    Returns:
        the bound, first value ``start``, and its error.

    Raises:
        InputError: if start is negative or not finite, times are unusable, the flow is of another
            variant, or the weights jump or oscillate so much that the quadrature fails.

    Source: Eqs. 7, 8, 10, 12, 13. Chapters 4 to 6.
    """
    return gronwall(
        start, lambda t: rates(flow, equation, t), times, flow.breakpoints, flow.piecewise, tol
    )


def gronwall(
    start: Any,
    rates: Rates,
    times: Any,
    breakpoints: tuple[float, ...] = (),
    piecewise: bool = False,
    tol: float = 1e-9,
) -> Bound:
    """The solution of v' = c v + g, v(t_0) = ``start``: the largest v with v' ≤ c v + g.

    Args:
        start: v at the first time, a number ≥ 0 or ``(batch,)``.
        rates: maps t to c(t) and g(t), numbers or ``(batch,)`` tensors.
        times: increasing times, shape ``(K,)``.
        breakpoints: times at which the rates may jump.
        piecewise: whether the rates are constant between breakpoints.
        tol: the relative error wanted of an integral.

    Raises:
        InputError: if start is negative or not finite, or the quadrature fails.

    Source: the linear Gronwall inequality, the core of Theorem 8. Chapter 4.
    """
    value = torch.as_tensor(start, dtype=torch.float64)
    if not (torch.isfinite(value).all() and (value >= 0).all()):
        raise InputError("start must be a finite norm of at least 0")
    grid = check_times(times)
    step = _constant if piecewise else _adaptive
    values, error, t = [value], 0.0, grid[0].item()
    for end in grid[1:].tolist():
        for stop in [*(b for b in breakpoints if t < b < end), end]:
            factor, gain, missed = step(rates, t, stop, tol)
            value = factor * value + gain
            error, t = error + missed, stop
        values.append(value)
    return Bound(torch.stack(torch.broadcast_tensors(*values)), error)


def _constant(rates: Rates, a: float, b: float, _tol: float) -> tuple[Tensor, Tensor, float]:
    """exp ∫c and ∫ g exp ∫c over [a, b], on which the rates are constant."""
    c, g = rates(a)
    growth = torch.expm1((b - a) * c)
    mean = torch.where(c > 0, growth / torch.where(c > 0, c, 1.0), b - a)
    return 1 + growth, g * mean, 0.0


def _panel(rates: Rates, a: float, b: float) -> tuple[Tensor, Tensor]:
    """exp ∫c and ∫ g exp ∫c over [a, b] from eight nodes, with ∫c at the nodes by collocation."""
    half = (b - a) / 2
    c, g = (
        torch.stack(torch.broadcast_tensors(*column))
        for column in zip(*(rates(a + half * (1 + z)) for z in NODES), strict=True)
    )
    inner = torch.from_numpy(_COLLOCATION).to(c) * half
    up_to_node = torch.tensordot(inner, c, dims=1)
    weights = torch.from_numpy(WEIGHTS).to(c) * half
    total = torch.tensordot(weights, c, dims=1)
    return torch.exp(total), torch.tensordot(weights, g * torch.exp(total - up_to_node), dims=1)


def _collocation() -> np.ndarray:
    """W with W[i, j] = integral of the j-th Lagrange polynomial of the nodes from −1 to node i."""
    powers = np.arange(len(NODES))
    vandermonde = NODES[:, None] ** powers
    integrals = (NODES[:, None] ** (powers + 1) - (-1.0) ** (powers + 1)) / (powers + 1)
    return np.linalg.solve(vandermonde.T, integrals.T).T


_COLLOCATION = _collocation()


def _adaptive(
    rates: Rates, a: float, b: float, tol: float, depth: int = 40
) -> tuple[Tensor, Tensor, float]:
    """As :func:`_constant` for rates that vary: halve until the halves agree with the whole."""
    whole = _panel(rates, a, b)
    middle = (a + b) / 2
    left, right = _panel(rates, a, middle), _panel(rates, middle, b)
    factor, gain = left[0] * right[0], left[1] * right[0] + right[1]
    scale = factor + gain
    error = max(
        ((factor - whole[0]).abs() / scale).max().item(),
        ((gain - whole[1]).abs() / scale).max().item(),
    )
    if not math.isfinite(error):
        raise InputError(f"the rates are not finite between t = {a:g} and t = {b:g}")
    if error <= max(tol, ROUNDING):
        return factor, gain, error
    if depth == 0:
        raise InputError(
            f"the rates vary too fast near t = {a:g} to be integrated to a relative error of "
            f"{tol:g}: give jumps as breakpoints of a Piecewise, or a larger tol"
        )
    left = _adaptive(rates, a, middle, tol / 2, depth - 1)
    right = _adaptive(rates, middle, b, tol / 2, depth - 1)
    return left[0] * right[0], left[1] * right[0] + right[1], left[2] + right[2]


def nonlinear_gronwall(
    c: float,
    f: Callable[[float], float],
    g: Callable[[float], float],
    alpha: float,
    times: Any,
    tol: float = 1e-9,
) -> Bound:
    r"""The largest u with :math:`u(t) \le c + \int_{t_0}^t (f u + g u^\alpha)\,ds`, corrected.

    For 0 ≤ α < 1, :math:`w = u^{1-\alpha}` solves the linear
    :math:`w' = (1 - \alpha)(f w + g)`. For α = 1, :math:`u = c \exp \int (f + g)`; the paper
    prints :math:`c \exp((1 - \alpha)\int (f + g)) = c`, which u' = u refutes.

    Args:
        c: the constant, c ≥ 0.
        f, g: nonnegative functions of time.
        alpha: the exponent, 0 ≤ α ≤ 1.
        times: increasing times from t_0, shape ``(K,)``.
        tol: the relative error wanted of an integral.

    Returns:
        the bound on u(t), not on its power, shape ``(K,)``, and the error of that power.

    Raises:
        InputError: if c is negative, α is not in [0, 1], or f or g is negative or not integrable.

    Source: Theorem 8. Chapter 4.
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must be between 0 and 1, got {alpha}")
    if not (math.isfinite(c) and c >= 0):
        raise InputError(f"c must be finite and at least 0, got {c}")

    def both(t: float) -> tuple[Tensor, Tensor]:
        pair = torch.tensor([f(t), g(t)], dtype=torch.float64)
        if (pair < 0).any():
            raise InputError(f"f and g must be nonnegative, but at t = {t:g} one is {pair.min()}")
        if alpha == 1:
            return pair.sum(), torch.zeros(())
        return (1 - alpha) * pair[0], (1 - alpha) * pair[1]

    power = 1.0 if alpha == 1 else 1 - alpha
    result = gronwall(c**power, both, times, tol=tol)
    return Bound(result.values ** (1 / power), result.error)
