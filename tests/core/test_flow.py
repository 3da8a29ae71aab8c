"""The flow and its scheme against closed forms, and against the projected dynamics."""

import math

import numpy as np
import pytest
import torch
from builders import random_flow
from scipy.linalg import expm

from forward_stability.errors import InputError
from forward_stability.flow import (
    Piecewise,
    ResNetDFlow,
    ResNetFlow,
    ResNetSFlow,
    forward_backward,
    time_grid,
)
from forward_stability.prox import in_normal_cone
from forward_stability.reference import slow_solution

ZERO = [[0.0]]


def scalar(A1=0.0, A2=0.0, b1=0.0, b2=0.0):
    return ResNetFlow([[A1]], [[A2]], [b1], [b2])


def both(flow, x0, horizon, steps):
    """The two paths at the layers' times."""
    times = time_grid(horizon, steps)
    return (
        times.numpy(),
        forward_backward(flow, x0, times).numpy(),
        slow_solution(flow, x0, times),
    )


def test_constant_force_hits_the_obstacle_and_stays():
    # x' = -1 until contact at t = 1. Euler is exact for a constant force, up to rounding.
    times, scheme, reference = both(scalar(b2=-1.0), [1.0], 3.0, 30)
    exact = np.maximum(1 - times, 0)[:, None]
    np.testing.assert_allclose(scheme, exact, atol=1e-14)
    np.testing.assert_allclose(reference.path, exact, atol=1e-13)
    assert [(e.entry, e.kind) for e in reference.events] == [(0, "contact")]
    assert reference.events[0].time == pytest.approx(1.0, abs=1e-13)


def test_release_when_the_force_turns():
    b2 = Piecewise([[-1.0], [0.5]], [2.0])
    flow = ResNetFlow(ZERO, ZERO, [0.0], b2)
    times, scheme, reference = both(flow, [1.0], 4.0, 40)
    exact = np.where(times < 2, np.maximum(1 - times, 0), 0.5 * (times - 2))[:, None]
    np.testing.assert_allclose(scheme, exact, atol=1e-14)
    np.testing.assert_allclose(reference.path, exact, atol=1e-13)
    assert [e.kind for e in reference.events] == ["contact", "release"]
    assert reference.events[1].time == 2.0


@pytest.mark.parametrize("rate", [1.0, -1.0])
def test_exponential_growth_and_decay(rate):
    # A1 = 1 and A2 = -rate give x' = rate x; one step of the scheme multiplies by 1 + rate τ.
    steps = 50
    times, scheme, reference = both(scalar(A1=1.0, A2=-rate), [2.0], 1.5, steps)
    np.testing.assert_allclose(reference.path[:, 0], 2 * np.exp(rate * times), rtol=1e-9)
    powers = (1 + rate * 1.5 / steps) ** np.arange(steps + 1)
    np.testing.assert_allclose(scheme[:, 0], 2 * powers, rtol=1e-13)


def test_force_without_state_agrees_with_the_skorokhod_formula():
    # -x' ∈ N(x) - z' has the solution x(t) = z(t) + max over s ≤ t of max(-z(s), 0).
    flow = ResNetFlow(ZERO, ZERO, [0.0], lambda t: [3 * math.cos(3 * t)])
    times, scheme, reference = both(flow, [0.25], 5.0, 1000)
    # The largest -z before t is -z at t itself or at a trough of z = 0.25 + sin 3t.
    z = 0.25 + np.sin(3 * times)
    troughs = (3 * np.pi / 2 + 2 * np.pi * np.arange(3)) / 3
    depth = np.array(
        [max([0.0, -v, *(0.75 for s in troughs if s <= t)]) for t, v in zip(times, z, strict=True)]
    )
    exact = (z + depth)[:, None]
    np.testing.assert_allclose(reference.path, exact, atol=1e-9)
    # Left endpoint sums are off by τ/2 (z'(0) − z'(t)) ≤ 0.015, up to O(τ²).
    assert 0.014 < abs(scheme - exact).max() < 0.0151
    events = slow_solution(flow, [0.25], [0.0, 3.0]).events  # later it grazes the obstacle
    assert [e.kind for e in events] == ["contact", "release"]
    assert events[0].time == pytest.approx((math.pi + math.asin(0.25)) / 3, abs=1e-9)
    assert events[1].time == pytest.approx(math.pi / 2, abs=1e-9)


def test_resnet_s_with_all_neurons_active_is_a_matrix_exponential():
    generator = torch.Generator().manual_seed(1)
    A = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    rest = torch.full((4,), 10.0, dtype=torch.float64)
    b1 = torch.full((5,), 100.0, dtype=torch.float64)
    flow = ResNetSFlow(A, b1, A.T @ (A @ rest + b1))
    x0 = rest + torch.randn(4, generator=generator, dtype=torch.float64)
    times, scheme, reference = both(flow, x0, 1.0, 100)
    gram = (A.T @ A).numpy()
    exact = np.stack([10 + expm(-float(t) * gram) @ (x0 - rest).numpy() for t in times])
    np.testing.assert_allclose(reference.path, exact, atol=1e-8)
    assert not reference.events
    # Euler for x' = -Mx: the error is at most t τ ‖M‖² ‖x0 - rest‖ / 2.
    norm = np.linalg.norm(gram, 2)
    error = np.linalg.norm(scheme - exact, axis=1)
    assert (error <= times / 100 * norm**2 * (x0 - rest).norm().item() / 2 + 1e-12).all()


def test_differences_of_both_signs_make_the_heat_equation():
    # Aᵀσ(Ax) with A = (D, -D) is DᵀDx, as σ(z) - σ(-z) = z; sines are eigenvectors of DᵀD.
    d = 9
    D = np.eye(d + 1, d) - np.eye(d + 1, d, -1)
    flow = ResNetSFlow(np.vstack([D, -D]), torch.zeros(2 * d + 2), torch.zeros(d))
    x0 = np.sin(np.pi * np.arange(1, d + 1) / (d + 1))
    times, _, reference = both(flow, x0, 3.0, 10)
    rate = 4 * np.sin(np.pi / (2 * (d + 1))) ** 2
    np.testing.assert_allclose(reference.path, np.exp(-rate * times)[:, None] * x0, atol=1e-9)


def test_rotation_in_the_plane_reaches_the_wall_at_a_known_time():
    # All neurons active, A2 A1 = rotation by a quarter: x1' = -x2, x2' = x1 from (1, 1): x1 = 0
    # at t = π/4, where x2 = √2. Then x1 is held (x1' = -x2 < 0), so x2' = 0.
    rotation = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    flow = ResNetFlow(torch.eye(2), rotation, torch.zeros(2), torch.zeros(2))
    _, scheme, reference = both(flow, [1.0, 1.0], 2.0, 2000)
    assert reference.events[0].time == pytest.approx(math.pi / 4, abs=1e-9)
    np.testing.assert_allclose(reference.path[-1], [0, math.sqrt(2)], atol=1e-9)
    np.testing.assert_allclose(scheme[-1], [0, math.sqrt(2)], atol=2e-3)


@pytest.mark.parametrize("variant", ["ResNet", "ResNet-D", "ResNet-S"])
@pytest.mark.parametrize("d", [2, 3, 8])
def test_scheme_converges_to_the_reference_at_first_order(variant, d):
    generator = torch.Generator().manual_seed(d)
    flow = random_flow(variant, d, generator)
    x0 = torch.rand(d, generator=generator, dtype=torch.float64)
    errors = []
    for steps in (200, 400, 800):
        _, scheme, reference = both(flow, x0, 1.0, steps)
        errors.append(np.linalg.norm(scheme[-1] - reference.path[-1]))
    assert 1e-4 < errors[0] < 4e-3
    # Halving the step halves the error, up to O(τ²) and a contact between two layers.
    assert errors[1] == pytest.approx(errors[0] / 2, rel=4e-3)
    assert errors[2] == pytest.approx(errors[0] / 4, rel=4e-3)


@pytest.mark.parametrize("variant", ["ResNet", "ResNet-D", "ResNet-S"])
def test_each_layer_satisfies_the_inclusion(variant):
    generator = torch.Generator().manual_seed(7)
    flow = random_flow(variant, 6, generator)
    x0 = torch.rand(50, 6, generator=generator, dtype=torch.float64)
    times = time_grid(1.0, 20)
    path = forward_backward(flow, x0, times)
    held = 0
    for n in range(20):
        xi = (path[n] - path[n + 1]) / 0.05 - flow.force(times[n].item(), path[n])
        assert in_normal_cone(xi, path[n + 1], tol=1e-12).all()
        held += int((path[n + 1] == 0).sum())
    assert held > 100


def test_batched_weights_and_starts_equal_a_loop():
    generator = torch.Generator().manual_seed(5)
    A1, A2 = torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    b1, b2 = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    x0 = torch.rand(4, 3, generator=generator, dtype=torch.float64)
    times = torch.tensor([0.0, 0.1, 0.15, 0.4], dtype=torch.float64)
    together = forward_backward(ResNetFlow(A1, A2, b1, b2), x0, times)
    for i in range(4):
        alone = forward_backward(ResNetFlow(A1[i], A2[i], b1[i], b2[i]), x0[i], times)
        torch.testing.assert_close(together[:, i], alone, rtol=1e-13, atol=1e-14)
    shared = forward_backward(ResNetFlow(A1[0], A2[0], b1[0], b2[0]), x0, times)
    torch.testing.assert_close(shared[:, 0], together[:, 0], rtol=1e-13, atol=1e-14)


def test_functions_of_time_and_pieces_agree():
    values = torch.randn(3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    A = Piecewise(values, [0.3, 0.7])
    flow = ResNetSFlow(A, torch.ones(2), torch.zeros(2))
    same = ResNetSFlow(lambda t: values[(t >= 0.3) + (t >= 0.7)], torch.ones(2), torch.zeros(2))
    assert flow.piecewise
    assert not same.piecewise
    assert flow.breakpoints == (0.3, 0.7)
    x0, times = torch.ones(2, dtype=torch.float64), time_grid(1.0, 10)
    torch.testing.assert_close(
        forward_backward(flow, x0, times), forward_backward(same, x0, times), rtol=0, atol=0
    )


def test_the_path_is_differentiable_in_the_weights():
    A1 = torch.tensor([[1.0]], dtype=torch.float64, requires_grad=True)
    flow = ResNetFlow(A1, [[-1.0]], [0.0], [0.0])
    forward_backward(flow, [1.0], time_grid(1.0, 10))[-1].sum().backward()
    # x = (1 + a/10)^10, so the derivative at a = 1 is (1 + 1/10)^9.
    assert A1.grad is not None
    assert A1.grad.item() == pytest.approx(1.1**9, rel=1e-12)


EYE, ONE = torch.eye(2), torch.ones(2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNetDFlow(EYE, -EYE, ONE, ONE), "A2 must have no negative entry"),
        (lambda: ResNetDFlow(EYE, Piecewise(-EYE[None]), ONE, ONE), "A2 must have no negative"),
        (lambda: ResNetDFlow(EYE, lambda t: -EYE, ONE, ONE).weights(0.5), r"A2\(0.5\) must have"),
        (lambda: ResNetFlow(EYE, torch.ones(2, 3), ONE, ONE), r"A2 must have shape \(2, 2\)"),
        (lambda: ResNetFlow(EYE, EYE, torch.ones(3), ONE), r"b1 must have shape \(2,\)"),
        (lambda: ResNetFlow(EYE, EYE, ONE, torch.ones(5, 3)), r"b2 must have shape \(2,\)"),
        (lambda: ResNetFlow(ONE, EYE, ONE, ONE), "A1 must have 2 axes"),
        (lambda: ResNetFlow(EYE, lambda t: ONE, ONE, ONE).weights(0), "A2 must have 2 axes"),
        (lambda: ResNetFlow(EYE * math.nan, EYE, ONE, ONE), "A1 must be finite"),
        (lambda: ResNetFlow(EYE, EYE, ONE * math.inf, ONE), "b1 must be finite"),
        (lambda: ResNetFlow("weights", EYE, ONE, ONE), "A1 must be a tensor"),
        (lambda: ResNetSFlow(ONE, ONE, ONE), "A must be a matrix"),
        (lambda: ResNetSFlow(EYE / 0, ONE, ONE), "A must be finite"),
        (lambda: Piecewise([1.0, 2.0], [-1.0]), "breakpoints must be a finite time"),
        (lambda: Piecewise([1.0, 2.0, 3.0], [1.0, 0.5]), "breakpoints must increase"),
        (lambda: Piecewise([1.0, 2.0], [0.0]), "breakpoints must increase from above 0"),
        (lambda: Piecewise([1.0, 2.0], []), "values must hold one value more"),
        (lambda: time_grid(-1.0, 4), "horizon must be a finite time"),
        (lambda: time_grid(1.0, 0), "steps must be at least 1"),
    ],
)
def test_unusable_weights_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("solve", [forward_backward, slow_solution])
@pytest.mark.parametrize(
    ("x0", "times", "message"),
    [
        ([1.0, -0.1], [0, 1], "x0 must lie in the orthant"),
        ([1.0, math.nan], [0, 1], "x0 must be finite"),
        ([1.0, 1.0, 1.0], [0, 1], "x0? must have length 2"),
        ([1.0, 1.0], [-1, 1], "times must not be negative"),
        ([1.0, 1.0], [0, 1, 1], "times must increase"),
        ([1.0, 1.0], [0], "times must list at least two"),
        (1.0, [0, 1], "x0 must have shape"),
    ],
)
def test_unusable_starts_and_times_are_named(solve, x0, times, message):
    with pytest.raises(InputError, match=message):
        solve(ResNetFlow(EYE, EYE, ONE, ONE), x0, times)


def test_a_negative_time_and_a_batch_for_the_reference_are_named():
    flow = ResNetFlow(EYE, EYE, ONE, ONE)
    with pytest.raises(InputError, match="t must be a finite time of at least 0"):
        flow.force(-0.1, ONE.double())
    with pytest.raises(InputError, match="one start of shape"):
        slow_solution(flow, torch.ones(3, 2), [0, 1])


def test_axes_of_weights_and_biases_are_counted():
    """A matrix has two and a bias one; one more is a batch, two more are refused."""
    eye, one = torch.eye(2), torch.ones(2)
    for name, weights in (
        ("A1", (torch.ones(3, 3, 2, 2), eye, one, one)),
        ("A2", (eye, torch.ones(3, 3, 2, 2), one, one)),
        ("A2", (eye, one, one, one)),
        ("b1", (eye, eye, torch.tensor(1.0), one)),
        ("b2", (eye, eye, one, torch.tensor(1.0))),
        ("b1", (eye, eye, torch.ones(3, 3, 2), one)),
        ("b2", (eye, eye, one, torch.ones(3, 3, 2))),
    ):
        with pytest.raises(InputError, match=f"{name} must have"):
            ResNetFlow(*weights)
    flow = ResNetFlow(torch.ones(3, 5, 2), torch.ones(3, 2, 5), torch.ones(3, 5), torch.ones(3, 2))
    assert flow.force(0.0, torch.ones(3, 2).double()).tolist() == [[14.0, 14.0]] * 3
    with pytest.raises(InputError, match="x must have length 2"):
        flow.force(0.0, torch.ones(3, 5).double())


def test_zeros_are_no_negative_entries_and_zero_is_a_time():
    flow = ResNetDFlow(EYE, torch.zeros(2, 2), ONE, ONE)
    path = forward_backward(flow, [0.0, 1.0], [0.0, 0.5])
    assert path.tolist() == [[0.0, 1.0], [0.5, 1.5]]
    with pytest.raises(InputError, match="horizon must be positive"):
        time_grid(0.0, 3)
    assert time_grid(3.0, 1).tolist() == [0.0, 3.0]


@pytest.mark.parametrize("horizon", [0.1, 2.0])
def test_a_time_grid_is_exact_in_the_middle_and_at_its_end(horizon):
    for steps in range(2, 1025, 2):
        times = time_grid(horizon, steps)
        assert (times[steps // 2], times[-1]) == (horizon / 2, horizon)
    assert time_grid(3.0, 2).dtype == torch.float64


def test_a_piece_begins_at_its_breakpoint():
    piece = Piecewise([1.0, 2.0, 3.0], [0.5, 1.0])
    assert [float(piece(t)) for t in (0, 0.49, 0.5, 0.99, 1.0, 9.0)] == [1, 1, 2, 2, 3, 3]
    with pytest.raises(InputError, match="t must be a finite time"):
        piece(-0.1)
    A1, b1 = Piecewise([EYE.tolist()] * 2, [0.7]), Piecewise([[0.0] * 2] * 2, [0.3])
    flow = ResNetFlow(A1, EYE, b1, ONE)
    assert flow.breakpoints == (0.3, 0.7)


def test_what_a_flow_is_called():
    assert [f.variant for f in (ResNetFlow, ResNetDFlow, ResNetSFlow)] == [
        "ResNet", "ResNet-D", "ResNet-S",
    ]  # fmt: skip
