r"""Averaged maps: non-expansive with something to spare, so that repeating them must converge.

A map T is averaged with constant θ, 0 < θ < 1, if T = (1 − θ)I + θR for a non-expansive R. With
κ = θ/(1 − θ) that is

.. math:: \|Tx - Ty\|^2 \le \|x - y\|^2 - \frac1\kappa \|(x - Tx) - (y - Ty)\|^2 .

A ReLU and every other projection onto a convex set has θ = 1/2, κ = 1. Everything here is computed
with κ, because the constants of maps in a row add up; in rational numbers, and rounded upwards, so
that a constant of proven norms is proven. Chapter 16.
"""

from collections.abc import Iterable
from fractions import Fraction
from math import inf, isfinite, nextafter, sqrt

from forward_stability.errors import InputError

PROJECTION = 1.0
"""κ of the projection onto a closed convex set, such as a ReLU or a clamp."""


def gradient_step(tau: float, norm: float) -> float:
    r"""κ of x ↦ x − τ Aᵀ(f(Ax + b)) for a projection f, or for the identity.

    With f the ReLU that is the inner part of a ResNet-S layer, with the identity a step down the
    gradient of ‖Ax + b‖²/2. It is averaged with θ = τ‖A‖²/2 if that is below 1,

    .. math:: \kappa = \frac{\tau\|A\|^2}{2 - \tau\|A\|^2} .

    Args:
        tau: τ > 0.
        norm: an upper bound of ‖A‖.

    Raises:
        InputError: if τ is not positive, or τ‖A‖² is not below 2: no κ is finite then.

    Source: Theorem of Baillon & Haddad (1977), for these maps proved in chapter 16.
    """
    if not (tau > 0 and isfinite(tau) and 0 <= norm < inf):
        raise InputError(f"tau must be positive and norm finite, got {tau} and {norm}")
    squared = Fraction(tau) * Fraction(norm) ** 2
    if squared >= 2:
        raise InputError(
            f"tau norm² = {float(squared):.6g} must be below 2: the map is not averaged"
        )
    return _up(squared / (2 - squared))


def composition(constants: Iterable[float]) -> float:
    """κ of maps in a row, in any order: the sum of theirs.

    Source: Combettes & Yamada (2015), whose constant (θ₁ + θ₂ − 2θ₁θ₂)/(1 − θ₁θ₂) is the same.
    """
    return _up(sum((Fraction(kappa) for kappa in constants), Fraction(0)))


def relaxation(kappa: float, beta: float) -> float:
    r"""κ of (1 − β)I + βT for 0 < β ≤ 1: θ becomes βθ.

    .. math:: \kappa_\beta = \frac{\beta\kappa}{1 + (1 - \beta)\kappa} .

    Raises:
        InputError: if β is not in (0, 1].
    """
    if not 0 < beta <= 1:
        raise InputError(f"beta must be above 0 and at most 1, got {beta}")
    b, k = Fraction(beta), Fraction(kappa)
    return _up(b * k / (1 + (1 - b) * k))


def residual_bound(kappa: float, distance: float, k: int) -> float:
    r"""What the residual ‖x_k − T x_k‖ of x_{k+1} = T x_k cannot exceed.

    .. math:: \|x_k - Tx_k\| \le \sqrt{\frac{\kappa}{k + 1}}\, \|x_0 - x^*\|

    for every fixed point x* of T.

    Args:
        kappa: κ of T.
        distance: an upper bound of ‖x_0 − x*‖.
        k: the number of steps before.

    Returns:
        rounded upwards: a quotient, a root and a product are off by less than four units.
    """
    return _up(Fraction(sqrt(kappa / (k + 1)) * distance) * (1 + Fraction(4, 2**53)))


def _up(value: Fraction) -> float:
    """A float that is not below the rational number."""
    return nextafter(float(value), inf) if value else 0.0
