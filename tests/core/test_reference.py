"""The independent solution: events, rest, and the inclusion itself."""

import math

import numpy as np
import pytest
import torch
from builders import random_flow

from forward_stability.errors import InputError
from forward_stability.flow import (
    Piecewise,
    ResNetFlow,
)
from forward_stability.prox import in_normal_cone
from forward_stability.reference import slow_solution


def test_an_entry_that_nothing_pulls_rests():
    # x2' = -x2 from x2 = 0: neither a contact nor a release, again and again.
    flow = ResNetFlow(torch.eye(2), torch.diag(torch.tensor([-1.0, 1.0])), [0.0, 0.0], [0.0, 0.0])
    reference = slow_solution(flow, [1.0, 0.0], [0.0, 1.0])
    np.testing.assert_allclose(reference.path[-1], [math.e, 0], rtol=1e-9)
    assert [(e.time, e.entry, e.kind) for e in reference.events] == [(0.0, 1, "contact")]


def test_reference_satisfies_the_inclusion():
    generator = torch.Generator().manual_seed(3)
    flow = random_flow("ResNet", 5, generator, pieces=1)
    x0 = torch.rand(5, generator=generator, dtype=torch.float64)
    h = 1e-5
    contacts = 0
    for t in np.linspace(0.05, 1.95, 20):
        path = torch.from_numpy(slow_solution(flow, x0, [0, t, t + h]).path)
        xi = -(path[2] - path[1]) / h - flow.force(t, path[1])
        assert in_normal_cone(xi, path[1], tol=3e-5)  # a difference quotient is off by O(h)
        contacts += int((path[1] == 0).sum())
    assert contacts > 0


def test_as_many_events_as_allowed_pass_and_one_more_is_said():
    flow = ResNetFlow([[0.0]], [[0.0]], [0.0], Piecewise([[-1.0], [1.0], [-2.0]], [1.0, 1.5]))
    events = slow_solution(flow, [0.5], [0.0, 2.0], most_events=3).events
    assert [e.kind for e in events] == ["contact", "release", "contact"]
    with pytest.raises(InputError, match="more than most_events = 2"):
        slow_solution(flow, [0.5], [0.0, 2.0], most_events=2)


def test_a_batch_of_starts_or_of_weights_is_refused():
    flow = ResNetFlow(torch.eye(2), torch.eye(2), torch.ones(2), torch.ones(2))
    many = ResNetFlow(torch.eye(2).expand(3, 2, 2), torch.eye(2), torch.ones(2), torch.ones(2))
    for f, x0 in ((flow, torch.ones(3, 2)), (many, torch.ones(2))):
        with pytest.raises(InputError, match="one start of shape"):
            slow_solution(f, x0, [0, 1])


@pytest.mark.parametrize("times", [[0.0, 0.5, 2.0], [0.0, 1.0, 2.0], [0.25, 1.5, 2.0], [1.0, 2.0]])
def test_jumps_may_lie_on_and_off_the_times(times):
    """x' = −1, then 1, then −2: down to the wall, off it, and back."""
    b2 = Piecewise([[-1.0], [1.0], [-2.0]], [1.0, 1.5])
    flow = ResNetFlow([[0.0]], [[0.0]], [0.0], b2)
    start = max(0.5 - times[0], 0.0)

    def exact(t):
        if t <= 1:
            return max(0.5 - t, 0.0)
        return t - 1 if t <= 1.5 else max(0.5 - 2 * (t - 1.5), 0.0)

    found = slow_solution(flow, [start], times)
    np.testing.assert_allclose(found.path[:, 0], [exact(t) for t in times], atol=1e-12)
    kinds = [e.kind for e in found.events]
    assert kinds[-2:] == ["release", "contact"] if times[0] < 1 else kinds == ["contact"]
    assert found.events[-1].time == pytest.approx(1.75, abs=1e-12)


def test_two_entries_that_touch_at_one_time_and_one_that_is_pushed_back():
    """x1 and x2 fall together; x3 grows and pushes x2 off the wall when it exceeds 2."""
    A1 = [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    A2 = [[0.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    flow = ResNetFlow(A1, A2, [-2.0, 0.0, 0.0], [-1.0, -1.0, 1.0])
    found = slow_solution(flow, [1.0, 1.0, 0.0], [0.0, 1.0, 3.0, 4.0])
    assert [(e.entry, e.kind) for e in found.events] == [
        (0, "contact"), (1, "contact"), (1, "release"),
    ]  # fmt: skip
    assert [e.time for e in found.events] == pytest.approx([1, 1, 3], abs=1e-9)
    np.testing.assert_allclose(found.path[:, 1], [1, 0, 0, 0.5], atol=1e-9)  # ∫ (t − 3) dt
    np.testing.assert_allclose(found.path[:, 2], [0, 1, 3, 4], atol=1e-12)
