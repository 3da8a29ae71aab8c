r"""How far the layers are from the flow: an error bar that is proven, rounding included.

The layer with the force F frozen at its start is itself a path with walls,

.. math:: \hat x(t) = \sigma\bigl(x^n - (t - t_n) F^n\bigr)

with :math:`F^n = F(t_n, x^n)`, so that it differs from the flow only by the force, which is wrong
by no more than F changes on the way. Walls do not make a difference of paths larger. Chapter 3.
"""

from bisect import bisect_right
from itertools import pairwise
from math import inf
from typing import Any

import torch
from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.flow import ResNetFlow, ResNetSFlow, check_times
from forward_stability.prox import relu
from forward_stability.rounding import gamma, matrix_bound


def distance_to_flow(flow: ResNetFlow, path: Any, times: Any) -> Tensor:
    r"""Bounds of :math:`\|x(t_n) - x^n\|`, the flow against the layers from the same start.

    With c = ‖A1‖‖A2‖ and M the norm of Fⁿ on the entries that it moves, a layer of thickness τ with
    constant weights takes a bound E to

    .. math:: e^{cτ} E + M\,\frac{e^{cτ} - 1 - cτ}{c}, \qquad \text{in ResNet-S to the lesser of }
              E + \tfrac12 \|A\|^2 M τ^2 \text{ and } \sqrt{E^2 + \tfrac16 \|A\|^2 M^2 τ^3} .

    Where weights jump inside a layer, it is cut there, and the jump of the force at xⁿ is added.
    The rounding errors of the path and of the bound are in it.

    Args:
        flow: with weights that are constant or :class:`~forward_stability.flow.Piecewise`.
        path: the layers, as :func:`~forward_stability.flow.forward_backward` returns them: shape
            ``(N + 1, d)`` or ``(N + 1, batch, d)``.
        times: their times, shape ``(N + 1,)``; the first is that of the common start.

    Returns:
        float64, shape ``(N + 1,)`` or ``(N + 1, batch)``, in the units of x; infinite where
        :math:`e^{cτ}` is beyond float64.

    Raises:
        InputError: if a weight is a function of time, of which a bound would need to know how it
            varies, or if the path does not fit.

    Source: our own; Nochetto, Savaré & Verdi (2000) for gradient flows. Chapter 3.
    """
    path, times = torch.as_tensor(path, dtype=torch.float64), check_times(times)
    if not flow.piecewise:
        raise InputError(
            "a weight is a function of time, so that nothing is proven of what it does within a "
            "layer; give Piecewise weights"
        )
    if path.ndim not in (2, 3) or len(path) != len(times):
        raise InputError(
            f"path must hold one point for each of the {len(times)} times, "
            f"got shape {tuple(path.shape)}"
        )
    if not bool(torch.isfinite(path).all() and (path >= 0).all()):
        raise InputError("path must be finite and lie in the orthant")
    E = torch.zeros(path.shape[:-1], dtype=torch.float64)
    grown = _symmetric if isinstance(flow, ResNetSFlow) else _general
    norms: dict[int, tuple[Tensor, Tensor]] = {}  # for each piece of the weights
    for n, (t, s) in enumerate(pairwise(times.tolist())):
        x = path[n]
        F, error = force_with_error(flow, t, x)
        moving = (x > 0) | (error > F)  # at a wall, a force into it does nothing
        M = length((F.abs() + error) * moving)
        bound = E[n]
        for p, q in pairwise([t, *(b for b in flow.breakpoints if t < b < s), s]):
            piece = bisect_right(flow.breakpoints, p)
            if piece not in norms:
                A1, A2, *_ = flow.weights(p)
                norms[piece] = (norm_bound(A1), norm_bound(A2))
            there, its_error = force_with_error(flow, p, x)
            jump = 0.0 if p == t else length((there - F).abs() + error + its_error)
            bound = grown(bound, *norms[piece], M, jump, p - t, q - p) * (1 + gamma(64))
        # The layer was computed in float64: a step, and the force times it.
        tau = (s - t) * (1 + gamma(2))
        slip = length(tau * error + gamma(8) * (x + tau * F.abs()))
        E[n + 1] = (bound + slip) * (1 + gamma(8))
    return E


def _general(
    E: Tensor, norm1: Tensor, norm2: Tensor, M: Tensor, jump: Tensor | float, a: float, tau: float
) -> Tensor:
    """Gronwall for E' = cE + jump + cMs, where s goes from a to a + τ within the layer."""
    c = norm1 * norm2 * (1 + gamma(2))
    z = c * tau * (1 + gamma(2))
    grown = torch.where(z > 0, torch.expm1(z) / z, 1.0) * tau  # (e^z − 1)/c
    local = torch.where(z > 0, _second_order(z) / z, 0.0) * tau  # (e^z − 1 − z)/c
    total = torch.exp(z) * E + jump * grown + M * (a * torch.expm1(z) + local)
    return total.nan_to_num(inf, inf)  # 0 · ∞ where e^z overflows


def _symmetric(
    E: Tensor, norm: Tensor, _: Tensor, M: Tensor, jump: Tensor | float, a: float, tau: float
) -> Tensor:
    """ResNet-S: the force is monotone, and a little more than that."""
    b = a + tau
    plain = E + norm**2 * M * tau * (b + a) / 2
    energy = (E**2 + norm**2 * M**2 * tau * (b**2 + a * b + a**2) / 6).sqrt()
    return torch.minimum(plain, energy) + jump * tau


def _second_order(z: Tensor) -> Tensor:
    """e^z − 1 − z for z ≥ 0, without cancellation."""
    small = z.clamp_max(1)
    term, total = small * small / 2, torch.zeros_like(z)
    for k in range(3, 24):
        total, term = total + term, term * small / k
    return torch.where(z > 1, torch.exp(z) - 1 - z, total + term)


def length(v: Tensor) -> Tensor:
    """An upper bound of the norm of v, shape ``(...)``, for v of shape ``(..., d)``."""
    scale = v.abs().max().clamp_min(torch.finfo(v.dtype).tiny)
    return (v / scale).norm(dim=-1) * scale * (1 + gamma(v.shape[-1] + 8))


def norm_bound(W: Tensor) -> Tensor:
    """An upper bound of the norm of a matrix, or of each in a batch, shape ``(...)``."""
    bounds = [matrix_bound(M) for M in W.reshape(-1, *W.shape[-2:])]
    return torch.tensor(bounds, dtype=torch.float64).reshape(W.shape[:-2])


def force_with_error(flow: ResNetFlow, t: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """F(t, x) in float64 and an upper bound of its rounding errors, entry by entry."""
    A1, A2, b1, b2 = flow.weights(t)
    (h, d), wide = A1.shape[-2:], x.abs().unsqueeze(-1)
    inner = (A1 @ x.unsqueeze(-1)).squeeze(-1) + b1
    size = (A1.abs() @ wide).squeeze(-1) + b1.abs()
    through = gamma(d + 4) * size + gamma(h + 4) * relu(inner)
    error = (A2.abs() @ through.unsqueeze(-1)).squeeze(-1) + gamma(h + 4) * b2.abs()
    return flow.force(t, x), error * (1 + gamma(d + h + 16))
