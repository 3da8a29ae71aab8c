"""The layers of the study of alternatives, against dense matrices."""

from math import sqrt

import pytest
import torch
from other_layers import ChannelBalls, DepthWise, Orthogonal, PointWise, separable, with_layers

from forward_stability.experiments.config import Config
from forward_stability.folding import FoldedConv
from forward_stability.layer import Layer
from forward_stability.models import Network
from forward_stability.operators import conv_matrix, vec
from forward_stability.spectral import proven_norm


@pytest.mark.parametrize("side", [2, 4, 6])
def test_a_cayley_transform_is_orthogonal_and_folds_to_its_taps(side: int):
    torch.manual_seed(side)
    layer = Orthogonal(3, side).double()
    with torch.no_grad():
        layer.bn.bias.normal_()
    x = torch.randn(2, 3, side, side).double()
    folded = layer.fold()
    assert isinstance(folded, FoldedConv)
    A = conv_matrix(folded.K, (side, side))
    torch.testing.assert_close(A @ A.T, torch.eye(len(A)).double(), rtol=0, atol=1e-14)
    y = (vec(x) @ A.T).unflatten(1, x.shape[1:]) + layer.bn.bias[:, None, None]
    torch.testing.assert_close(layer(x), y, rtol=0, atol=1e-13)
    torch.testing.assert_close(folded(x), y, rtol=0, atol=1e-13)
    assert 1 <= proven_norm(folded.K, (side, side)) < 1 + 1e-12
    assert folded.K[..., 0, 0].abs().max() > 0.01  # it is more than one tap


def test_an_orthogonal_start_has_one_tap():
    layer = Orthogonal(4, 6)
    with torch.no_grad():
        layer.initialise_((6, 6), "isometry")
    K = layer.fold().K
    middle = K[..., 3, 3].clone()
    torch.testing.assert_close(middle @ middle.T, torch.eye(4).double(), rtol=0, atol=1e-14)
    K[..., 3, 3] = 0
    assert K.abs().max() < 1e-15


@pytest.mark.parametrize("kind", [DepthWise, PointWise])
def test_a_separable_layer_is_one_of_resnet_s(kind: type[Layer]):
    torch.manual_seed(3)
    layer, x = kind(5), torch.randn(2, 5, 4, 6).double()
    with torch.no_grad():
        layer.initialise_((4, 6), "isometry")
        layer.conv.weight *= 20
        layer.bn1.bias.normal_()
        layer.bn2.bias.normal_()
    layer.constrain_((4, 6), 1.0)
    layer.lift_(1.5, 1.5)
    layer.double()
    folded = layer.fold()
    A = conv_matrix(folded.K, (4, 6))
    # Gram iteration is at most 5^(1/128) too large.
    assert 0.987 * sqrt(2) < torch.linalg.matrix_norm(A, 2) < sqrt(2) * (1 + 1e-12)
    at_pixels = [b.repeat_interleave(24) for b in (folded.b1, folded.b2)]
    y = torch.relu(vec(x) @ A.T + at_pixels[0])
    z = torch.relu(vec(x) - y @ A + at_pixels[1])
    torch.testing.assert_close(vec(layer(x)), z, rtol=0, atol=1e-13)
    torch.testing.assert_close(vec(folded(x)), z, rtol=0, atol=1e-13)


def test_each_channel_has_its_own_ball():
    torch.manual_seed(4)
    K = torch.randn(4, 1, 3, 3)
    K[0] *= 0.01
    K[3] = 0
    ball = ChannelBalls((4, 6))(K.requires_grad_())
    ball.sum().backward()
    assert torch.equal(ball[0], K[0])
    assert K.grad is not None
    assert torch.equal(K.grad[3], torch.ones(1, 3, 3))
    ball = ball.detach()
    for c in (1, 2):
        norm = torch.linalg.matrix_norm(conv_matrix(ball[c : c + 1].double(), (4, 6)), 2)
        assert sqrt(2) * (1 - 3e-5) < norm <= sqrt(2)


def test_a_configuration_with_other_layers_makes_them():
    config = with_layers(Config(variant="S", blocks=2, width=4), separable)
    network = Network(**config.architecture((3, 8, 8), 10) | {"batch_norm": False})
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds.count("DepthWise") == kinds.count("PointWise") == 4
    assert "ResidualS" not in kinds
