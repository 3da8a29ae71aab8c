r"""ReLU as a proximal step, and the forward-backward step that a residual layer is.

The obstacle of the paper is the closed convex cone :math:`\mathbb{R}_+^d` (all entries
nonnegative). Its indicator function, its projection, its normal cone and its proximal operator are
four views of one thing; chapter 1 of the book walks from one to the next, chapter 2 builds the
residual layer from them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from forward_stability.errors import InputError


def relu(x: Tensor) -> Tensor:
    r"""The rectified linear unit σ(x) = max(x, 0), entry by entry.

    It equals the projection onto :math:`\mathbb{R}_+^d`, and the proximal operator of its
    indicator for every step γ > 0: :math:`\sigma(x) = \arg\min_y \gamma I(y) + \|x - y\|_2^2 / 2`.

    Args:
        x: any shape.

    Source: Definition 7, Proposition 3 and Remark 4 of the paper (which prints γI(x) where γI(y)
    is meant). Chapter 1.
    """
    return torch.relu(x)


def indicator(x: Tensor) -> Tensor:
    r"""The indicator I of :math:`\mathbb{R}_+^d`: 0 where all entries are ≥ 0, else infinity.

    Args:
        x: shape ``(..., d)``.

    Returns:
        shape ``(...)``, in the dtype of ``x``.

    Source: Eq. 38. Chapter 1.
    """
    inside = (x >= 0).all(dim=-1)
    zero = torch.zeros(inside.shape, dtype=x.dtype, device=x.device)
    return zero.masked_fill(~inside, torch.inf)


def in_normal_cone(xi: Tensor, x: Tensor, tol: float = 0.0) -> Tensor:
    r"""Whether ξ lies in the normal cone :math:`N(x) = \partial I(x)` of :math:`\mathbb{R}_+^d`.

    For x in the orthant that is: ξ_i = 0 where x_i > 0, and ξ_i ≤ 0 where x_i = 0. Outside the
    orthant the cone is empty.

    Args:
        xi: the candidate ξ, shape ``(..., d)``.
        x: the point, shape ``(..., d)``.
        tol: entries of x up to ``tol`` count as 0, and ξ may miss its condition by ``tol``.

    Returns:
        booleans of shape ``(...)``.

    Source: Sect. 2.2, the display before Eq. 4. Chapter 1.
    """
    free = x > tol
    ok = torch.where(free, xi.abs() <= tol, xi <= tol)
    return (ok & (x >= -tol)).all(dim=-1)


def forward_backward_step(x: Tensor, force: Callable[[Tensor], Tensor], tau: float) -> Tensor:
    r"""One forward-backward step for :math:`-x' \in N(x) + F(x)`: σ(x − τF(x)).

    The force is explicit, the obstacle implicit. With F(x) = A2 σ(A1 x + b1) − b2 this is the
    residual layer of Eq. 1.

    Args:
        x: the features, shape ``(..., d)``.
        force: F, maps ``(..., d)`` to ``(..., d)``.
        tau: the step τ > 0, in units of time.

    Raises:
        InputError: if τ is not positive or the force changes the shape.

    Source: Eq. 1. Chapters 1 and 2.
    """
    if not tau > 0:
        raise InputError(f"tau must be a positive step, got {tau}")
    f = force(x)
    if f.shape != x.shape:
        raise InputError(f"force must keep the shape {tuple(x.shape)}, got {tuple(f.shape)}")
    return relu(x - tau * f)
