"""The five bounds and the nonlinear Gronwall inequality, against solve_ivp and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from forward_stability.errors import InputError
from forward_stability.flow import Piecewise, ResNetFlow, ResNetSFlow, forward_backward, time_grid
from forward_stability.growth import EQUATIONS, bound, gronwall, nonlinear_gronwall

GENERATOR = torch.Generator().manual_seed(0)
PIECES = torch.randn(4, 3, 3, 3, generator=GENERATOR, dtype=torch.float64)
JUMPS = [0.4, 0.9]


def weights(kind):
    """A1, A2 ≥ 0, b1, b2 as pieces or as smooth functions of time."""
    A1, A2, b1, b2 = PIECES[0], PIECES[1].abs(), PIECES[2, :, 0], PIECES[3, :, 0]
    if kind == "pieces":
        return [Piecewise(w, JUMPS) for w in (A1, A2, b1, b2)]
    return [
        lambda t: A1[0] + math.sin(3 * t) * A1[1],
        lambda t: A2[0] + t * A2[1],
        lambda t: b1[0] + math.cos(2 * t) * b1[1],
        lambda t: b2[0] + t**2 * b2[1],
    ]


def make(equation, kind):
    A1, A2, b1, b2 = weights(kind)
    if EQUATIONS[equation] is ResNetSFlow:
        return ResNetSFlow(A1, b1, b2)
    return EQUATIONS[equation](A1, A2, b1, b2)


def by_numpy(flow, equation, t):
    """c and g written again, from the paper."""
    A1, A2, b1, b2 = (w.numpy() for w in flow.weights(t))
    c = np.linalg.svd(A1)[1][0] * np.linalg.svd(A2)[1][0]
    relu = lambda z: np.where(z > 0, z, 0)  # noqa: E731
    return {
        7: (c, np.linalg.svd(A2)[1][0] * math.sqrt((b1**2).sum()) + np.linalg.norm(relu(b2))),
        8: (c, 0.0),
        10: (0.0, np.linalg.norm(relu(b2))),
        12: (0.0, np.linalg.norm(relu(-A1.T @ relu(b1) + b2))),
        13: (0.0, 0.0),
    }[equation]


@pytest.mark.parametrize("kind", ["pieces", "functions"])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_bound_solves_the_linear_equation(equation, kind):
    flow = make(equation, kind)
    times = torch.tensor([0.0, 0.3, 0.7, 1.5], dtype=torch.float64)
    result = bound(flow, equation, 2.0, times)
    assert result.values[0] == 2.0
    assert result.error == 0 if kind == "pieces" else result.error < 1e-8
    v, t = [2.0], 0.0
    stops = sorted({*times.tolist()[1:], *JUMPS})
    expected = [2.0]
    for stop in stops:
        middle = (t + stop) / 2

        def slope(s, v, middle=middle):
            c, g = by_numpy(flow, equation, middle if kind == "pieces" else s)
            return c * v + g

        v = solve_ivp(slope, (t, stop), v, method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
        t = stop
        if stop in times.tolist():
            expected.append(v[0])
    np.testing.assert_allclose(result.values.numpy(), expected, rtol=2e-9)


def test_constant_weights_in_closed_form():
    # c = 3 and g = 1/2 for all time: v = (v0 + g/c) exp(ct) - g/c.
    flow = ResNetFlow([[1.5]], [[-2.0]], [0.0], [0.5])
    times = time_grid(2.0, 7)
    values, error = bound(flow, 7, 1.0, times)
    torch.testing.assert_close(
        values, (1 + 1 / 6) * torch.exp(3 * times) - 1 / 6, rtol=1e-13, atol=0
    )
    assert error == 0


def test_a_kink_is_resolved_and_the_error_is_honest():
    # ∫ |sin(7s)| ds over [0, 2], with kinks at multiples of π/7: four humps of 2/7 and a part.
    def rates(t):
        return torch.tensor(0.0, dtype=torch.float64), torch.tensor(
            abs(math.sin(7 * t)), dtype=torch.float64
        )

    values, error = gronwall(0.0, rates, [0, 2])
    exact = (4 * 2 + 1 - math.cos(14 - 4 * math.pi)) / 7
    assert error < 1e-9
    assert values[1].item() == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_batched_bounds_equal_a_loop(equation):
    A1, A2, b1, b2 = PIECES[0], PIECES[1].abs(), PIECES[2, :, 0], PIECES[3, :, 0]

    def one(i):
        w = (
            [A1[i], b1[i], b2[i]]
            if EQUATIONS[equation] is ResNetSFlow
            else [A1[i], A2[i], b1[i], b2[i]]
        )
        return EQUATIONS[equation](*w)

    together = one(slice(None))
    start = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    times = time_grid(1.0, 3)
    values = bound(together, equation, start, times).values
    assert values.shape == (4, 3)
    for i in range(3):
        alone = bound(one(i), equation, start[i], times).values
        torch.testing.assert_close(values[:, i], alone, rtol=1e-13, atol=0)


@pytest.mark.parametrize("kind", ["pieces", "functions"])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_scheme_stays_below_the_bound(equation, kind):
    # Proved for the scheme itself if τ‖A‖² ≤ 2, so nothing but rounding is allowed above it; for
    # functions of time the bound integrates and the scheme samples, but is far from the bound.
    flow = make(equation, kind)
    generator = torch.Generator().manual_seed(equation)
    x0, y0 = torch.rand(2, 200, 3, generator=generator, dtype=torch.float64)
    times = time_grid(1.5, 300)
    x, y = forward_backward(flow, x0, times), forward_backward(flow, y0, times)
    path = x - y if equation in (8, 13) else x
    size = path.norm(dim=-1)
    right = bound(flow, equation, size[0], times[::20]).values
    assert (size[::20] <= right * (1 + 1e-14)).all()


# Theorem 8.


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_nonlinear_gronwall_is_attained_by_the_equation(alpha):
    f, g = (lambda t: 0.5 + 0.3 * math.cos(t)), (lambda t: 0.2 * t)
    times = np.linspace(0, 2, 5)
    run = solve_ivp(
        lambda t, u: f(t) * u + g(t) * u**alpha, (0, 2), [0.7], t_eval=times, rtol=1e-11, atol=1e-12
    )
    values, error = nonlinear_gronwall(0.7, f, g, alpha, times)
    np.testing.assert_allclose(values.numpy(), run.y[0], rtol=2e-9)
    assert error < 1e-8


def test_the_printed_case_alpha_1_is_false_and_the_corrected_one_is_sharp():
    # u = exp(t) satisfies u = 1 + ∫u. Printed: u ≤ c exp((1 - 1) ∫ f) = c = 1, the value at t = 0.
    times = time_grid(1.0, 4)
    values = nonlinear_gronwall(1.0, lambda t: 1.0, lambda t: 0.0, 1.0, times).values
    torch.testing.assert_close(values, times.exp(), rtol=1e-14, atol=0)
    assert values[0] == 1
    both = nonlinear_gronwall(2.0, lambda t: 0.5, lambda t: 0.25, 1.0, times).values
    torch.testing.assert_close(both, 2 * torch.exp(0.75 * times), rtol=1e-14, atol=0)


def test_from_zero_the_bound_is_the_largest_solution():
    # u' = √u from 0 has the solutions 0 and t²/4: the bound is the larger one.
    times = time_grid(2.0, 4)
    values = nonlinear_gronwall(0.0, lambda t: 0.0, lambda t: 1.0, 0.5, times).values
    torch.testing.assert_close(values, times**2 / 4, rtol=1e-12, atol=1e-15)


# Input that a user can mend.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: bound(f, 9, 1.0, [0, 1]), "equation must be one of"),
        (lambda f: bound(f, 10, 1.0, [0, 1]), "equation 10 holds for ResNet-D, but flow"),
        (lambda f: bound(f, 13, 1.0, [0, 1]), "equation 13 holds for ResNet-S"),
        (lambda f: bound(f, 7, -1.0, [0, 1]), "start must be a finite norm"),
        (lambda f: bound(f, 7, math.nan, [0, 1]), "start must be a finite norm"),
        (lambda f: bound(f, 7, 1.0, [-1, 1]), "times must not be negative"),
        (lambda f: nonlinear_gronwall(1, lambda t: 1, lambda t: 1, 1.5, [0, 1]), "alpha must be"),
        (lambda f: nonlinear_gronwall(-1, lambda t: 1, lambda t: 1, 0.5, [0, 1]), "c must be"),
        (lambda f: nonlinear_gronwall(1, lambda t: -1, lambda t: 1, 0.5, [0, 1]), "f and g must"),
        (lambda f: nonlinear_gronwall(1, lambda t: 1 / t, lambda t: 0, 0, [0, 1]), "vary too fast"),
        (
            lambda f: nonlinear_gronwall(1, lambda t: float(t > 0.3), lambda t: 0, 0, [0, 1]),
            "give jumps as breakpoints",
        ),
    ],
)
def test_unusable_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call(ResNetFlow([[1.0]], [[1.0]], [0.0], [0.0]))


def test_a_rate_that_varies_in_closed_form():
    """v' = 3t² v + 3t² has v = (v0 + 1) exp(t³) − 1: the quadrature is exact to rounding."""

    def rates(t):
        rate = torch.tensor(3 * t**2, dtype=torch.float64)
        return rate, rate

    times = torch.tensor([0.0, 0.5, 0.75, 1.25], dtype=torch.float64)
    values, error = gronwall(2.0, rates, times)
    torch.testing.assert_close(values, 3 * torch.exp(times**3) - 1, rtol=1e-12, atol=0)
    assert 0 < error <= 3e-9


@pytest.mark.parametrize("tol", [1e-4, 1e-7, 1e-10])
def test_the_error_is_neither_above_what_is_wanted_nor_below_what_is_true(tol):
    """|sin 7s| with kinks that no halving meets; and the effort grows with what is wanted."""
    calls = []

    def rates(t):
        calls.append(t)
        hump = torch.tensor(abs(math.sin(7 * t)), dtype=torch.float64)
        return torch.zeros((), dtype=torch.float64), hump

    values, error = gronwall(0.0, rates, [0, 2], tol=tol)
    exact = (4 * 2 + 1 - math.cos(14 - 4 * math.pi)) / 7
    assert abs(values[1].item() / exact - 1) <= error <= tol
    assert len(calls) <= 24 * 2 * 4 * math.log2(1 / tol)  # 24 an interval, halved around 4 kinks


def test_rates_without_any_error_pass_whatever_is_wanted():
    """They are asked for at eight nodes of the whole and of each half."""
    rate, calls = torch.ones((), dtype=torch.float64), []

    def rates(t):
        calls.append(t)
        return 0 * rate, rate

    values, error = gronwall(1.0, rates, [0, 1], tol=0.0)
    assert values.tolist() == pytest.approx([1, 2], rel=1e-15)
    assert error <= 1e-15
    assert len(calls) == 3 * 8


def test_rates_that_are_not_finite_are_said():
    infinite = torch.tensor(math.inf, dtype=torch.float64)
    with pytest.raises(InputError, match="not finite between t = 0 and t = 1"):
        gronwall(1.0, lambda t: (infinite, infinite), [0, 1])


def test_pieces_whose_jumps_lie_on_and_off_the_times():
    # c = 0, 2, 1 from 0, 1, 2 on, and g = 1: v' = c v + g in closed form.
    flow = ResNetFlow(Piecewise([[[0.0]], [[2.0]], [[1.0]]], [1.0, 2.0]), [[1.0]], [0.0], [1.0])
    values, error = bound(flow, 7, 1.0, [0.5, 1.0, 1.5, 2.5])
    one = 1 + 0.5
    at_two = (one + 0.5) * math.exp(2) - 0.5
    expected = [1, one, (one + 0.5) * math.e - 0.5, (at_two + 1) * math.exp(0.5) - 1]
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-14)
    assert error == 0


def test_limits_of_the_exponent_and_of_the_start():
    assert nonlinear_gronwall(0.0, lambda t: 1.0, lambda t: 0.0, 0.0, [0, 1]).values[1] == 0
    for call in (
        lambda: nonlinear_gronwall(1, lambda t: 1, lambda t: 1, -0.1, [0, 1]),
        lambda: nonlinear_gronwall(math.inf, lambda t: 1, lambda t: 1, 0.5, [0, 1]),
        lambda: nonlinear_gronwall(1, lambda t: 1, lambda t: -1, 0.5, [0, 1]),
        lambda: gronwall(torch.tensor([1.0, -1.0]), lambda t: (t, t), [0, 1]),
    ):
        with pytest.raises(InputError):
            call()
