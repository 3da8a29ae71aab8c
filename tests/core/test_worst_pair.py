"""The search for the worst pair: against linear maps of known norm and against proven bounds."""

from functools import partial

import pytest
import torch
from builders import assert_no_violation, randn, random_network

from forward_stability.certificates import certify_layers
from forward_stability.folding import (
    forward,
)
from forward_stability.worst_pair import find_worst_pair, stretch


def test_the_search_finds_the_norm_of_a_linear_map_and_keeps_to_the_box():
    torch.manual_seed(9)
    A = randn(4, 6)
    norm = float(torch.linalg.matrix_norm(A, 2))
    pair = find_worst_pair(lambda x: x @ A.T, randn(3, 6), steps=50)
    assert pair.ratio == pytest.approx(norm, rel=1e-6)
    assert pair.ratio <= norm * (1 + 1e-12)
    pair = find_worst_pair(lambda x: x @ A.T, torch.rand(3, 6, dtype=torch.float64), box=(0, 1))
    assert float(pair.x.min()) >= 0
    assert float(pair.y.max()) <= 1
    assert torch.equal(pair.ratios, pair.ratios.sort(descending=True).values)
    again = find_worst_pair(lambda x: x @ A.T, torch.ones(3, 6, dtype=torch.float64), seed=3)
    same = find_worst_pair(lambda x: x @ A.T, torch.ones(3, 6, dtype=torch.float64), seed=3)
    assert again.ratio == same.ratio


@pytest.mark.parametrize("variant", ["D", "S"])
def test_no_violation_under_the_search(variant):
    torch.manual_seed(8)
    for _ in range(3):
        layers = random_network(variant, 2, (8, 8), bias=0.3)
        report = certify_layers(layers, (8, 8))
        start = torch.cat([randn(6, 1, 8, 8), randn(2, 1, 1, 1).expand(-1, -1, 8, 8)])
        pair = find_worst_pair(partial(forward, layers), start, steps=60, seed=1)
        first = stretch(partial(forward, layers), start, start.roll(1, 0))
        assert pair.ratio > float(first.max())
        assert pair.ratio <= report["best"].a
        x, y = pair.x[None], pair.y[None]
        found = float(stretch(partial(forward, layers), x, y))
        assert found == pytest.approx(pair.ratio, rel=1e-12)
        assert_no_violation(layers, report, x, y)
