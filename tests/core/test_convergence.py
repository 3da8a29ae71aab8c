"""The proven error bar of layers: against the flow, closed forms, and its own worst case."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from builders import randn

from forward_stability.convergence import distance_to_flow
from forward_stability.errors import InputError
from forward_stability.flow import (
    Piecewise,
    ResNetDFlow,
    ResNetFlow,
    ResNetSFlow,
    forward_backward,
    time_grid,
)
from forward_stability.reference import slow_solution

KINDS = ("ResNet", "ResNet-D", "ResNet-S")


def random_problem(seed):
    """A flow whose weights jump once, a start and uneven times that may miss the jump."""
    torch.manual_seed(seed)
    d, h = (int(n) for n in torch.randint(1, 5, (2,)))
    scale = 0.3 + 1.5 * float(torch.rand(()))
    A1, A2, b1, b2 = randn(2, h, d), randn(2, d, h), randn(2, h), 2 * randn(2, d)
    A1, A2 = scale * A1 / d**0.5, scale * A2 / h**0.5
    one, two, c1, c2 = (Piecewise(w, [0.5]) for w in (A1, A2, b1, b2))
    kind = KINDS[seed % 3]
    if kind == "ResNet":
        flow = ResNetFlow(one, two, c1, c2)
    elif kind == "ResNet-D":
        flow = ResNetDFlow(one, Piecewise(A2.abs(), [0.5]), c1, c2)
    else:
        flow = ResNetSFlow(one, c1, c2)
    steps = 0.2 + torch.rand(int(torch.randint(1, 40, ())), dtype=torch.float64)
    times = torch.cat([torch.zeros(1, dtype=torch.float64), steps.cumsum(0) / steps.sum()])
    return flow, randn(d).abs() * (seed % 2), times


@pytest.mark.parametrize("seed", range(90))
def test_the_flow_is_within_the_bar(seed):
    flow, x0, times = random_problem(seed)
    path = forward_backward(flow, x0, times)
    bar = distance_to_flow(flow, path, times)
    true = slow_solution(flow, x0, times, rtol=1e-11, atol=1e-13).path
    apart = (path - torch.as_tensor(true)).norm(dim=1)
    assert bar[0] == 0
    assert bool((apart <= bar + 1e-11).all()), float((apart - bar).max())


def test_it_is_attained_at_every_depth_by_linear_growth():
    """x' = cx: the layers give (1 + cτ)^N, the flow e^{cT}, and the bar is their distance."""
    c = 1.7
    flow = ResNetFlow([[1.0]], [[-c]], [0.0], [0.0])
    for steps in (1, 2, 7, 50):
        times = time_grid(1.3, steps)
        path = forward_backward(flow, [0.9], times)
        bar = float(distance_to_flow(flow, path, times)[-1])
        true = 0.9 * (math.exp(c * 1.3) - (1 + c * 1.3 / steps) ** steps)
        assert bar == pytest.approx(true, rel=1e-11)
        assert bar >= true * (1 - 1e-14)


def test_in_resnet_s_the_first_thin_layer_attains_it():
    """x' = −a²x: the layer misses by e^{−z} − 1 + z of z²/2."""
    for z in (1e-1, 1e-2, 1e-3):
        flow = ResNetSFlow([[1.0]], [0.0], [0.0])
        path = forward_backward(flow, [1.0], [0.0, z])
        bar = float(distance_to_flow(flow, path, [0.0, z])[-1])
        ratio = (math.expm1(-z) + z) / bar
        assert 1 - z / 2.9 < ratio < 1


def test_in_resnet_s_a_thick_layer_comes_close_to_the_energy():
    """At z = 2.1 the root of E² + ‖A‖²M²τ³/6 is 1.6 % above what the layer misses."""
    flow, z = ResNetSFlow([[1.0]], [0.0], [0.0]), 2.1
    path = torch.tensor([[1.0], [0.0]]).double()
    bar = float(distance_to_flow(flow, path, [0.0, z])[-1])
    missed = math.expm1(-z) + z
    assert bar == pytest.approx(z**1.5 / 6**0.5, rel=1e-12)
    assert missed < bar < 1.02 * missed


def test_a_jump_that_changes_nothing_costs_nothing():
    """A layer is cut where weights may jump, and its pieces say what the whole says."""
    weights = [[[1.0]], [[-1.7]], [0.0], [0.0]]
    cut = [Piecewise([w, w], [0.35]) for w in weights]
    times = time_grid(1.0, 2)
    path = forward_backward(ResNetFlow(*weights), [0.9], times)
    whole = distance_to_flow(ResNetFlow(*weights), path, times)
    pieces = distance_to_flow(ResNetFlow(*cut), path, times)
    torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=1e-15)


def test_the_bar_has_order_one_whatever_the_contacts():
    generator = torch.Generator().manual_seed(4)
    A1, A2 = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
    flow = ResNetFlow(A1, A2, [0.3, -0.2, 0.1], [-2.0, 1.0, -1.0])
    bars = []
    for steps in (200, 400, 800):
        times = time_grid(1.0, steps)
        path = forward_backward(flow, [1.0, 0.2, 0.6], times)
        bars.append(float(distance_to_flow(flow, path, times)[-1]))
    orders = [math.log2(a / b) for a, b in pairwise(bars)]
    assert orders == pytest.approx([1, 1], abs=0.02)


def test_without_an_exponential_a_resnet_s_is_known_over_a_long_time():
    """Energy: the bar grows like a root of time, and Gronwall's for the same weights does not."""
    torch.manual_seed(5)
    A = randn(3, 3)
    times, x0 = time_grid(20.0, 500), [1.0, 2.0, 0.5]
    flow = ResNetSFlow(A, [0.5, 0.5, 0.5], [0.2, 0.1, 0.3])
    path = forward_backward(flow, x0, times)
    bar = distance_to_flow(flow, path, times)
    true = slow_solution(flow, x0, times, rtol=1e-11, atol=1e-13).path
    assert float((path - torch.as_tensor(true)).norm(dim=1).max()) <= float(bar[-1]) < 2
    same = ResNetFlow(A, A.mT, [0.5, 0.5, 0.5], [0.2, 0.1, 0.3])
    assert float(distance_to_flow(same, path, times)[-1]) > 1e6


def test_a_force_that_presses_into_a_wall_costs_nothing():
    flow = ResNetFlow([[3.0]], [[5.0]], [1.0], [0.0])
    path = forward_backward(flow, [0.0], [0.0, 1.0])
    assert float(distance_to_flow(flow, path, [0.0, 1.0])[-1]) < 1e-13


def test_rounding_is_in_the_bar():
    """A constant force makes no error but that of rounding: 0.1 · 3 is not 0.3."""
    flow = ResNetFlow([[0.0]], [[0.0]], [0.0], [0.1])
    times = time_grid(3.0, 1000)
    path = forward_backward(flow, [1e9], times)
    true = Fraction(1e9) + Fraction(0.1) * 3
    off = abs(Fraction(float(path[-1])) - true)
    bar = float(distance_to_flow(flow, path, times)[-1])
    assert 0 < off <= bar < 1e-2


def test_a_batch_is_bounded_row_by_row():
    torch.manual_seed(0)
    A1, A2, b1, b2 = randn(4, 3, 2), randn(4, 2, 3), randn(4, 3), randn(4, 2)
    starts, times = randn(4, 2).abs(), time_grid(0.5, 20)
    together = ResNetFlow(A1, A2, b1, b2)
    path = forward_backward(together, starts, times)
    bars = distance_to_flow(together, path, times)
    assert bars.shape == (21, 4)
    for i in range(4):
        alone = ResNetFlow(A1[i], A2[i], b1[i], b2[i])
        own = distance_to_flow(alone, path[:, i], times)
        torch.testing.assert_close(own, bars[:, i], rtol=1e-12, atol=0)


def test_what_overflows_is_infinite():
    for steps in (1, 3):
        flow, times = ResNetFlow([[100.0]], [[-100.0]], [0.0], [0.0]), time_grid(1.0, steps)
        path = forward_backward(flow, [1.0], times)
        assert distance_to_flow(flow, path, times)[-1] == math.inf


def test_what_cannot_be_bounded_is_refused():
    varying = ResNetFlow(lambda t: [[t]], [[1.0]], [0.0], [0.0])
    with pytest.raises(InputError, match="function of time"):
        distance_to_flow(varying, [[0.0], [0.0]], [0.0, 1.0])
    flow = ResNetFlow([[1.0]], [[1.0]], [0.0], [0.0])
    with pytest.raises(InputError, match="one point for each of the 2 times"):
        distance_to_flow(flow, [[0.0]], [0.0, 1.0])
    with pytest.raises(InputError, match="finite and lie in the orthant"):
        distance_to_flow(flow, [[0.0], [-1.0]], [0.0, 1.0])
