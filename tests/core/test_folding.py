"""Folded networks are the networks, and their layers keep to what is proven of them."""

import pytest
import torch
from builders import trained_like

from forward_stability.folding import (
    features,
    fold,
    forward,
)
from forward_stability.models import Network


@pytest.mark.parametrize("variant", ["D", "S", "original"])
def test_folding_changes_nothing(variant):
    torch.manual_seed(3)
    network = trained_like(variant)
    images = torch.rand(3, 2, 7, 9, dtype=torch.float64)
    expected, layers = network.features(images), fold(network)
    for got, want in zip(features(layers, network.centred(images)), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("outer_relu", [True, False])
@torch.no_grad()
def test_folding_changes_nothing_without_batch_normalisation(outer_relu):
    torch.manual_seed(4)
    network = Network("S", 2, 2, batch_norm=False, outer_relu=outer_relu, flatten=(8, 16)).double()
    for parameter in network.parameters():
        parameter.copy_(0.3 * torch.randn_like(parameter))
    x = torch.rand(3, 3, 8, 16).double()
    torch.testing.assert_close(forward(fold(network), network.centred(x)), network(x))
