"""The independent solution: events, rest, and the inclusion itself."""

import math

import numpy as np
import torch
from builders import random_flow

from forward_stability.flow import (
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
        assert in_normal_cone(xi, path[1], tol=1e-3)
        contacts += int((path[1] == 0).sum())
    assert contacts > 0
