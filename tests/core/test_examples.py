"""Tight networks attain their constants, random ones satisfy the hypotheses."""

import pytest
import torch

from forward_stability.certificates import certify_layers
from forward_stability.errors import InputError
from forward_stability.examples import LEVEL, delta, random_network, tight_network, unit
from forward_stability.folding import features
from forward_stability.operators import conv


def test_delta_puts_one_channel_into_another():
    x = torch.rand(1, 3, 4, 5, dtype=torch.float64)
    y = conv(x, delta(2, 3, 1, 2, -0.5))
    assert torch.equal(y[0, 1], -0.5 * x[0, 2])
    assert not y[0, 0].any()
    assert unit(3, 1, 4.0).tolist() == [0.0, 4.0, 0.0]


@pytest.mark.parametrize("variant", ["D", "S"])
def test_every_unit_on_the_way_of_the_signal_is_on(variant):
    """A little more in the image is more in every feature: no ReLU cuts it off."""
    layers = tight_network(variant, (0.7, 1.3))
    x = torch.full((1, 1, 4, 8), LEVEL, dtype=torch.float64)
    for before, after in zip(features(layers, x), features(layers, x + 1), strict=True):
        assert bool((after - before).abs().max() > 0.5)


@pytest.mark.parametrize("variant", ["D", "S"])
def test_random_networks_lie_on_the_boundary_of_the_hypotheses(variant):
    torch.manual_seed(0)
    report = certify_layers(random_network(variant, 2, (8, 6), width=3), (8, 6))
    assert report.hypotheses_hold
    limits = [(c.value, c.limit) for r in report.layers for c in r.checks if c.equation != "15"]
    assert len(limits) == 6
    assert all(value == pytest.approx(limit, rel=1e-12, abs=0) for value, limit in limits)


def test_there_is_none_for_the_original():
    with pytest.raises(InputError, match="variants D and S, not 'original'"):
        tight_network("original", (1.0, 1.0))
    with pytest.raises(InputError, match="variants D and S, not 'original'"):
        random_network("original", 1, (4, 4))
