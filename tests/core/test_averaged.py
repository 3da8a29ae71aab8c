"""The constants of averaged maps, against dense matrices and cases in which they are attained."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from forward_stability.averaged import (
    PROJECTION,
    composition,
    gradient_step,
    relaxation,
    residual_bound,
)
from forward_stability.errors import InputError


def least_kappa(J: np.ndarray) -> float:
    """κ of the linear map J, from dense matrices: the least with ‖Jv‖² + ‖v − Jv‖²/κ ≤ ‖v‖².

    The largest ratio ‖v − Jv‖²/(‖v‖² − ‖Jv‖²), an eigenvalue of a pencil.
    """
    eye = np.eye(len(J))
    loss, moved = eye - J.T @ J, (eye - J).T @ (eye - J)
    values, vectors = np.linalg.eigh(loss)
    assert values.min() > -1e-12, "the map expands"
    root = vectors[:, values > 1e-9] / np.sqrt(values[values > 1e-9])
    return float(np.linalg.eigvalsh(root.T @ moved @ root).max())


@pytest.mark.parametrize("theta", [0.1, 0.5, 0.75, 0.99])
def test_a_gradient_step_attains_its_constant_with_all_units_on(theta: float):
    A = np.random.default_rng(0).normal(size=(7, 5))
    norm = np.linalg.norm(A, 2)
    tau = 2 * theta / norm**2
    kappa = gradient_step(tau, norm)
    assert kappa == pytest.approx(theta / (1 - theta), rel=1e-12)
    assert least_kappa(np.eye(5) - tau * A.T @ A) == pytest.approx(kappa, rel=1e-8)


def excess(f, x: Tensor, y: Tensor, kappa: float) -> float:
    """The largest ‖fx − fy‖² + ‖(x − fx) − (y − fy)‖²/κ − ‖x − y‖² of pairs of rows."""
    d, e = x - y, f(x) - f(y)
    terms = e.square().sum(-1) + (d - e).square().sum(-1) / kappa - d.square().sum(-1)
    return float(terms.max())


def layer(A: Tensor, b1: Tensor, b2: Tensor, tau: float = 1.0):
    return lambda x: torch.relu(x - tau * torch.relu(x @ A.T + b1) @ A + b2)


@pytest.mark.parametrize("theta", [0.3, 0.75])
def test_the_inequality_holds_for_layers_and_their_compositions(theta: float):
    random = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    layers, constants = [], []
    for _ in range(4):
        A = normal(6, 4)
        A *= (2 * theta) ** 0.5 / torch.linalg.matrix_norm(A, 2)
        layers.append(layer(A, normal(6), normal(4)))
        constants += [gradient_step(1.0, float(torch.linalg.matrix_norm(A, 2))), PROJECTION]
    x = normal(20_000, 4) * 2
    y = x + normal(20_000, 4) * 10 ** torch.linspace(-3, 1, 20_000)[:, None]
    assert excess(layers[0], x, y, composition(constants[:2])) <= 1e-12

    def whole(x: Tensor) -> Tensor:
        for f in layers:
            x = f(x)
        return x

    assert excess(whole, x, y, composition(constants)) <= 1e-12


def test_the_inequality_fails_beyond_the_hypothesis():
    """τ‖A‖² = 2θ + 0.01: a pair along the top singular vector, all units on."""
    theta = 0.75
    A = torch.tensor([[(2 * theta + 0.01) ** 0.5]], dtype=torch.float64)
    f = layer(A, torch.tensor([50.0]), torch.tensor([500.0]))
    x, y = (torch.tensor([[v]], dtype=torch.float64) for v in (1.0, 2.0))
    assert excess(f, x, y, theta / (1 - theta)) > 0.01
    right = gradient_step(1.0, float(A))
    assert abs(excess(f, x, y, right)) < 1e-12
    assert excess(f, x, y, right * 0.99) > 1e-3


def test_no_constant_without_averaging():
    assert gradient_step(1.0, 1.4142) > 1e4
    with pytest.raises(InputError, match="must be below 2"):
        gradient_step(2.0, 1.0)
    for tau, norm in ((0.0, 1.0), (-1.0, 1.0), (1.0, float("inf")), (1.0, float("nan"))):
        with pytest.raises(InputError, match="tau must be positive"):
            gradient_step(tau, norm)


def test_composition_is_the_constant_of_combettes_and_yamada():
    for first, second in ((0.5, 0.5), (0.1, 0.9), (0.3, 0.75)):
        theta = (first + second - 2 * first * second) / (1 - first * second)
        sum_ = composition([first / (1 - first), second / (1 - second)])
        assert sum_ == pytest.approx(theta / (1 - theta), rel=1e-12)


def test_a_sum_is_attained():
    """Small turns cos(a) R(a) = (I + R(2a))/2: each has κ = 1, n of them in a row nearly n."""

    def turn(a: float) -> np.ndarray:
        return np.cos(a) * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])

    assert least_kappa(turn(0.3)) == pytest.approx(1, rel=1e-9)
    small = 1e-3
    for n in (2, 5):
        whole = np.linalg.matrix_power(turn(small), n)
        assert least_kappa(whole) == pytest.approx(composition([1.0] * n), rel=1e-4)


@pytest.mark.parametrize("beta", [0.05, 0.5, 1.0])
def test_relaxation_multiplies_theta(beta: float):
    J = np.diag([-0.5, 0.3])  # θ = 3/4
    kappa = relaxation(3.0, beta)
    assert least_kappa((1 - beta) * np.eye(2) + beta * J) == pytest.approx(kappa, rel=1e-9)
    for wrong in (0.0, -0.1, 1.01, float("nan")):
        with pytest.raises(InputError, match="beta must be"):
            relaxation(3.0, wrong)


def test_constants_are_rounded_upwards():
    for k in range(1, 200):
        norm, beta = 1 + k / 523, k / 211
        squared = Fraction(tau := 1 / 3) * Fraction(norm) ** 2
        assert Fraction(gradient_step(tau, norm)) >= squared / (2 - squared)
        b, kappa = Fraction(beta), Fraction(norm)
        assert Fraction(relaxation(norm, beta)) >= b * kappa / (1 + (1 - b) * kappa)
        assert Fraction(composition([norm, beta, tau])) >= kappa + b + Fraction(tau)


@pytest.mark.parametrize("kappa", [1.0, 26.0])
def test_residuals_stay_below_their_bound(kappa: float):
    """x ↦ λx for every λ that κ allows, from x = 1 to its fixed point 0, computed in one line."""
    theta, worst = kappa / (1 + kappa), []
    for k in range(40):
        lam = np.linspace(1 - 2 * theta, 1, 20_001)
        residual = np.abs(1 - lam) * np.abs(lam) ** k
        assert residual.max() <= residual_bound(kappa, 1.0, k)
        worst.append(residual.max() / residual_bound(kappa, 1.0, k))
    assert worst[0] == pytest.approx(2 * theta / kappa**0.5, rel=1e-6)


def test_the_residual_bound_is_attained_at_once_by_a_firm_map():
    assert 1.0 <= residual_bound(1.0, 1.0, 0) <= 1 + 1e-15  # x ↦ 0, which is a projection
    assert residual_bound(4.0, 3.0, 8) == pytest.approx(2.0)


def test_the_residual_bound_is_rounded_upwards():
    random = np.random.default_rng(0)
    for kappa, distance in random.uniform(0.1, 50, (200, 2)):
        for k in (0, 2, 9):
            exact = Fraction(kappa) / (k + 1) * Fraction(distance) ** 2
            bound = Fraction(residual_bound(kappa, distance, k))
            assert exact <= bound**2 <= exact * (1 + Fraction(2, 10**15))
