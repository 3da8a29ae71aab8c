"""The search for the worst pair: against linear maps of known norm and against proven bounds."""

from functools import partial

import pytest
import torch
from builders import assert_no_violation, randn
from scipy import stats

from forward_stability.certificates import certify_layers
from forward_stability.errors import InputError
from forward_stability.examples import random_network
from forward_stability.folding import (
    forward,
)
from forward_stability.worst_pair import find_worst_pair, local_norm, stretch


def test_the_search_finds_the_norm_of_a_linear_map_and_keeps_to_the_box():
    torch.manual_seed(9)
    A = randn(4, 6)
    norm = float(torch.linalg.matrix_norm(A, 2))
    pair = find_worst_pair(lambda x: x @ A.T, randn(3, 6), steps=50)
    assert pair.ratio == pytest.approx(norm, rel=1e-6)
    assert pair.ratio <= norm * (1 + 1e-12)
    pair = find_worst_pair(lambda x: x @ A.T, torch.rand(3, 6, dtype=torch.float64), box=(0, 1))
    for z in (pair.x, pair.y):
        assert 0 <= float(z.min()) <= float(z.max()) <= 1
    assert torch.equal(pair.ratios, pair.ratios.sort(descending=True).values)
    again = find_worst_pair(lambda x: x @ A.T, torch.ones(3, 6, dtype=torch.float64), seed=3)
    same = find_worst_pair(lambda x: x @ A.T, torch.ones(3, 6, dtype=torch.float64), seed=3)
    assert again.ratio == same.ratio


@pytest.mark.parametrize("variant", ["D", "S"])
def test_no_violation_under_the_search(variant):
    torch.manual_seed(8)
    for _ in range(2):
        layers = random_network(variant, 2, (8, 8), bias=0.3)
        report = certify_layers(layers, (8, 8))
        start = torch.cat([randn(6, 1, 8, 8), randn(2, 1, 1, 1).expand(-1, -1, 8, 8)])
        pair = find_worst_pair(partial(forward, layers), start, steps=40, seed=1)
        first = stretch(partial(forward, layers), start, start.roll(1, 0))
        assert pair.ratio > float(first.max())
        assert pair.ratio <= report["best"].a
        x, y = pair.x[None], pair.y[None]
        found = float(stretch(partial(forward, layers), x, y))
        assert found == pytest.approx(pair.ratio, rel=1e-12)
        assert_no_violation(layers, report, x, y)


def test_both_inputs_are_kept_to_the_box_all_the_time():
    A, seen = randn(4, 6), []

    def f(x):
        seen.append(x.detach().clone())
        return x @ A.T

    find_worst_pair(f, torch.rand(5, 6).double(), steps=30, rate=0.3, box=(0.2, 0.9))
    calls = torch.stack(seen[1:])  # the first is of the starts as they are given
    for z in (calls[::2], calls[1::2]):
        assert float(z.min()) == 0.2
        assert float(z.max()) == 0.9


def test_partners_begin_along_the_steepest_direction_at_all_distances():
    torch.manual_seed(12)
    A, start, seen = randn(4, 6), randn(2000, 6), []

    def f(x):
        seen.append(x.detach().clone())
        return x @ A.T

    find_worst_pair(f, start, steps=0)
    _, x, y = seen
    assert torch.equal(x, start)
    v = (y - x) / (y - x).norm(dim=1, keepdim=True)
    top = torch.linalg.svd(A).Vh[0]
    assert float((v @ top).abs().min()) > 0.99
    lengths = (y - x).norm(dim=1) / x.norm(dim=1)
    assert stats.kstest(-lengths.log10().numpy() / 3, "uniform").pvalue > 1e-3


def test_steps_are_relative_to_the_size_of_the_starts():
    """Adam's first step moves each entry by the rate."""
    torch.manual_seed(14)
    A, start, seen = randn(4, 6), 5 * randn(20, 6), []

    def f(x):
        seen.append(x.detach().clone())
        return torch.tanh(x @ A.T)

    find_worst_pair(f, start, steps=1, rate=0.01)
    rate = 0.01 * float(start.square().mean().sqrt())
    for before, after in ((seen[1], seen[3]), (seen[2], seen[4])):
        assert float((after - before).abs().max()) == pytest.approx(rate, rel=1e-5)


def test_the_local_norm_is_that_of_the_jacobian():
    torch.manual_seed(13)
    A, B, x = randn(5, 4), randn(3, 5), randn(6, 4)
    f = lambda x: torch.tanh(x @ A.T) @ B.T  # noqa: E731
    size, v = local_norm(f, x, steps=300)
    for k in range(6):
        J = torch.autograd.functional.jacobian(f, x[k : k + 1])[0, :, 0]  # type: ignore[index]
        _, S, Vh = torch.linalg.svd(J)
        assert float(size[k]) == pytest.approx(float(S[0]), rel=1e-12)
        assert abs(float(v[k] @ Vh[0])) == pytest.approx(1, rel=1e-12)


def test_where_nothing_moves_the_direction_is_kept_and_the_ratio_is_zero():
    x = torch.ones(3, 4, dtype=torch.float64)
    size, v = local_norm(lambda x: 0 * x, x)
    assert torch.equal(size, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(v.norm(dim=1), x[:, 0], rtol=1e-14, atol=0)
    pair = find_worst_pair(lambda x: 0 * x, x, steps=3)
    assert pair.ratio == 0
    assert bool(torch.isfinite(pair.x).all())


def test_unusable_starts_are_refused():
    for start, word in (
        (torch.ones(2, 3), "float64"),
        (torch.full((2, 3), torch.nan, dtype=torch.float64), "finite"),
        (torch.zeros(2, 3, dtype=torch.float64), "zero"),
    ):
        with pytest.raises(InputError, match=word):
            find_worst_pair(lambda x: x, start)
