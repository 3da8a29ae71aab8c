"""ReLU as a proximal step, against scipy's minimisers and the definitions."""

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear, minimize_scalar

from forward_stability.errors import InputError
from forward_stability.prox import forward_backward_step, in_normal_cone, indicator, relu

CASES = [
    torch.tensor([3.0, -2.0, 0.0, -0.0, 1e-300, -1e-300], dtype=torch.float64),
    torch.full((5,), -1e8, dtype=torch.float64),
    torch.randn(20, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
]


@pytest.mark.parametrize("x", CASES)
def test_relu_is_the_projection_found_by_a_least_squares_solver(x):
    found = lsq_linear(np.eye(len(x)), x.numpy(), bounds=(0, np.inf), tol=1e-14).x
    # lsq_linear stops at a relative tolerance of its own; the projection itself is exact.
    np.testing.assert_allclose(relu(x).numpy(), found, atol=1e-7 * max(1, x.abs().max()))


@pytest.mark.parametrize("gamma", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("x", [-2.5, -1e-3, 0.0, 0.7, 4.0])
def test_relu_minimises_the_prox_objective_for_every_gamma(x, gamma):
    def objective(y):
        inside = indicator(torch.tensor([y], dtype=torch.float64)).item()
        return min(gamma * inside, 1e9) + (x - y) ** 2 / 2

    found = minimize_scalar(objective, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9}).x
    assert relu(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(found, abs=1e-7)


def test_indicator_is_zero_inside_and_infinite_outside():
    x = torch.tensor([[0.0, 1.0], [-0.0, 0.0], [-1e-30, 1.0]])
    assert indicator(x).tolist() == [0.0, 0.0, torch.inf]


@pytest.mark.parametrize("p", [1, 1.5, 2, 7, torch.inf])
def test_relu_is_non_expansive_in_every_lp_and_the_bound_is_reached(p):
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 10_000, 6, generator=g, dtype=torch.float64)
    norm = lambda z: torch.linalg.vector_norm(z, ord=p, dim=-1)  # noqa: E731
    rounding = 1 + 1e-14
    assert (norm(relu(x)) <= norm(x) * rounding).all()
    ratio = norm(relu(x) - relu(y)) / norm(x - y)
    assert (ratio <= rounding).all()
    positive = norm(relu(x.abs()) - relu(y.abs())) / norm(x.abs() - y.abs())
    assert torch.equal(positive, torch.ones_like(positive))


def test_normal_cone_is_the_set_of_its_definition():
    """ξ ∈ N(x) iff ⟨ξ, y − x⟩ ≤ 0 for all y ≥ 0, tried at the points that decide it."""
    g = torch.Generator().manual_seed(2)
    x = torch.randint(0, 2, (2000, 4), generator=g).double() * torch.rand(2000, 4, generator=g)
    xi = torch.randint(-1, 2, (2000, 4), generator=g).double()
    directions = torch.cat([torch.eye(4), torch.zeros(1, 4)]).double()
    # y = x + large multiples of unit vectors, and y = 0 in one coordinate.
    y = x[:, None, :] + 10 * directions
    smaller = x[:, None, :] * (1 - torch.eye(4).double())
    worst = torch.cat([y, smaller], dim=1) - x[:, None, :]
    by_definition = ((xi[:, None, :] * worst).sum(-1) <= 0).all(dim=1)
    found = in_normal_cone(xi, x)
    assert torch.equal(found, by_definition)
    assert 100 < found.sum() < 1900


def test_the_normal_cone_outside_the_orthant_is_empty():
    assert not in_normal_cone(torch.zeros(2), torch.tensor([-1.0, 1.0]))


@pytest.mark.parametrize("x", CASES)
def test_what_relu_removes_lies_in_the_normal_cone(x):
    assert in_normal_cone(x - relu(x), relu(x))


def test_forward_backward_step_is_the_implicit_step_of_the_inclusion():
    """(x − z)/τ − F(x) ∈ N(z) for z the step, which determines z."""
    g = torch.Generator().manual_seed(3)
    x = torch.rand(500, 5, generator=g, dtype=torch.float64)
    A = torch.randn(5, 5, generator=g, dtype=torch.float64)
    force = lambda v: v @ A.T - 0.3  # noqa: E731
    z = forward_backward_step(x, force, 0.25)
    xi = (x - z) / 0.25 - force(x)
    assert in_normal_cone(xi, z, tol=1e-14).all()
    assert (z == 0).any()
    assert (z > 0).any()


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan")])
def test_a_step_that_is_not_positive_is_refused(tau):
    with pytest.raises(InputError, match="tau must be a positive step"):
        forward_backward_step(torch.ones(2), lambda x: x, tau)


def test_a_force_of_another_shape_is_refused():
    with pytest.raises(InputError, match="force must keep the shape"):
        forward_backward_step(torch.ones(3, 2), lambda x: x[0], 1.0)


def test_the_normal_cone_up_to_a_tolerance():
    x = torch.tensor([[0.1, 1.0], [0.1, 1.0], [-0.1, 1.0], [0.11, 1.0], [-0.11, 1.0], [0.0, 1.0]])
    xi = torch.tensor(
        [[-9.0, 0.1], [0.1, 0.11], [-9.0, -0.1], [-9.0, 0.0], [0.0, 0.0], [0.11, 0.0]]
    )
    found = in_normal_cone(xi.double(), x.double(), tol=0.1 + 1e-7)
    assert found.tolist() == [True, False, True, False, False, False]
