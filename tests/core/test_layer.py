"""The protocol of a layer: its defaults, and what is refused."""

import pytest
import torch

from forward_stability.errors import InputError
from forward_stability.folded_residual import FoldedOriginal
from forward_stability.layer import euclidean
from forward_stability.layers import Residual


def test_a_layer_without_a_constraint_says_so_and_counts_as_one():
    layer = Residual(2)
    with pytest.raises(InputError, match="a layer of type Residual cannot be constrained"):
        layer.constrain_((4, 4), 0.5)
    assert layer.constrained_norm((4, 4), 0.5) == 1
    before = layer.conv1.weight.clone()
    layer.initialise_((4, 4), "identity")
    assert torch.equal(layer.conv1.weight, before)


def test_options_are_the_fields_that_are_no_tensors():
    K = torch.zeros(4, 2, 3, 3)
    assert FoldedOriginal(K, K[:, 0, 0, 0], K, K[:, 0, 0, 0], stride=2).options == {"stride": 2}


def test_a_euclidean_bound_weighs_all_channels_alike():
    bound = euclidean(2.5)
    assert (bound.u.tolist(), bound.v.tolist(), bound.constant) == ([1.0], [1.0], 2.5)
