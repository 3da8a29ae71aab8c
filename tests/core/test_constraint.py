"""Networks for which the hypotheses hold: their constant, their initial filters."""

from math import sqrt

import pytest
import torch
from torch import nn

from forward_stability.certificates import certify
from forward_stability.constraint import constrain, initialise_, sensitivity
from forward_stability.models import Network
from forward_stability.spectral import conv_norm

SIZE = (8, 16)


@pytest.mark.parametrize("flatten", [None, SIZE])
def test_sensitivity_is_the_constant_of_the_theorem_when_all_filters_are_on_the_boundary(flatten):
    torch.manual_seed(0)
    network = Network("S", 2, 2, batch_norm=False, flatten=flatten)
    nn.init.orthogonal_(network.layers[-1].weight)
    constrain(network, SIZE, 0.3)
    a = sensitivity(network, SIZE, 0.3)
    assert a == pytest.approx(0.8**2 / (1 if flatten else sqrt(8)), rel=1e-12)
    proven = certify(network, SIZE)["sharpened"].a
    assert a * 0.97 < proven <= a  # the balls are filled up to the slack of the bound


def test_the_constant_on_cifar_is_an_eighth_for_half():
    network = Network("S", 2, 2, batch_norm=False)
    assert sensitivity(network, (32, 32), 0.5) == pytest.approx(1 / 8, rel=1e-12)


@torch.no_grad()
def test_isometry_preserves_norms_before_the_outer_relu():
    torch.manual_seed(1)
    network = Network("S", 1, 4, batch_norm=False, outer_relu=False)
    initialise_(network, SIZE, "isometry")
    layer, x = network.layers[1], torch.randn(8, 4, *SIZE)
    ratio = layer(x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
    torch.testing.assert_close(ratio, torch.ones(8), rtol=0, atol=1e-6)
    assert float(conv_norm(layer.conv.weight, SIZE)) == pytest.approx(sqrt(2), rel=1e-6)


@torch.no_grad()
def test_identity_starts_close_to_the_identity():
    torch.manual_seed(2)
    network = Network("D", 1, 4, batch_norm=False)
    initialise_(network, SIZE, "identity")
    x = torch.rand(8, 4, *SIZE)
    assert float((network.layers[1](x) - x).norm()) < 0.1 * float(x.norm())
