"""The network of Fig. 1: sizes of Tables 2 and 5, layers against dense matrices, constraints."""

import pytest
import torch
from torch import nn

from forward_stability.errors import InputError
from forward_stability.layers import (
    Classifier,
    Convolution,
    Pooling,
    Residual,
    ResidualD,
    ResidualS,
)
from forward_stability.models import VARIANTS, Network, project_
from forward_stability.operators import conv_matrix

# Table 2: variant, m, depth, trainable parameters in thousands (the paper prints 1.100M for the
# last of ResNet-D, which counts 1,095,898).
TABLE_2 = [
    ("D", 3, 18, 223),
    ("D", 6, 36, 514),
    ("D", 9, 54, 805),
    ("D", 12, 72, 1096),
    ("S", 3, 11, 124),
    ("S", 6, 20, 270),
    ("S", 9, 29, 416),
    ("S", 12, 38, 561),
]
# Table 5: depth, parameters in millions.
TABLE_5 = [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)]


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """Statistics and parameters of every batch normalisation as after a training."""
    g = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=g))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=g))
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5, generator=g)
                nn.init.uniform_(module.bias, -1, 1, generator=g)
    return network.double().eval()


def affine(conv_layer, bn, size, weight=None):
    """The matrix and vector of convolution and batch normalisation, written out densely."""
    A = conv_matrix(conv_layer.weight if weight is None else weight, size, conv_layer.stride)
    pixels = A.shape[0] // bn.num_features
    s = torch.sqrt(bn.running_var + bn.eps)
    gamma = bn.weight if bn.affine else torch.ones_like(s)
    beta = bn.bias if bn.affine else torch.zeros_like(s)
    rows = (gamma / s).repeat_interleave(pixels)
    return rows[:, None] * A, (beta - gamma * bn.running_mean / s).repeat_interleave(pixels)


@pytest.mark.parametrize(("variant", "m", "depth", "thousands"), TABLE_2)
def test_depth_and_parameters_of_table_2(variant, m, depth, thousands):
    network = Network(variant, m)
    assert network.depth == depth
    assert round(network.parameter_count / 1000) == thousands
    on_cifar100 = Network(variant, m, classes=100).parameter_count
    weights = on_cifar100 - network.parameter_count - 90  # 90 biases
    assert weights == 5760


@pytest.mark.parametrize(("depth", "millions"), TABLE_5)
def test_parameters_of_table_5(depth, millions):
    network = Network("original", (depth - 2) // 6)
    assert network.depth == depth
    # The paper cuts 0.464 M and 0.659 M after two digits in one case and rounds in the other.
    assert network.parameter_count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(32, 32), (17, 23), (7, 5), (2, 3)])
def test_sizes_of_all_features(variant, size):
    m, (h, w) = 2, size
    network = Network(variant, m, width=4, channels=2, classes=7).eval()
    x = network.features(torch.rand(3, 2, h, w))
    assert len(x) == 3 * m + 4
    sizes = [(4, h, w), (8, -(-h // 2), -(-w // 2)), (16, -(-h // 4), -(-w // 4))]
    shapes = [(2, h, w), *[sizes[0]] * (m + 1), *[sizes[1]] * m, *[sizes[2]] * m, (16,), (7,)]
    assert [tuple(f.shape[1:]) for f in x] == shapes
    assert torch.equal(x[-1], network(torch.rand(3, 2, h, w) * 0 + x[0]))


def dense_D(layer, x, size):
    A1, b1 = affine(layer.conv1, layer.bn1, size)
    A2, b2 = affine(layer.conv2, layer.bn2, size)
    assert (A2 >= 0).all()
    return torch.relu(x - A2 @ torch.relu(A1 @ x + b1) - b2)


def dense_S(layer, x, size):
    A, b1 = affine(layer.conv, layer.bn1, size)
    plain = conv_matrix(layer.conv.weight, size)
    s = torch.sqrt(layer.bn2.running_var + layer.bn2.eps).repeat_interleave(size[0] * size[1])
    mean = layer.bn2.running_mean.repeat_interleave(size[0] * size[1])
    return torch.relu(x - (plain.T @ torch.relu(A @ x + b1) - mean) / s)


def dense_original(layer, x, size):
    A1, b1 = affine(layer.conv1, layer.bn1, size)
    A2, b2 = affine(layer.conv2, layer.bn2, size)
    return torch.relu(x + A2 @ torch.relu(A1 @ x + b1) + b2)


@pytest.mark.parametrize("size", [(4, 4), (5, 3)])
@pytest.mark.parametrize(
    ("layer", "dense"),
    [(ResidualD, dense_D), (ResidualS, dense_S), (Residual, dense_original)],
)
def test_residual_layers_against_dense_matrices(layer, dense, size):
    torch.manual_seed(0)
    layer = randomise(layer(3))
    x = torch.rand(3, *size, dtype=torch.float64)
    found = layer(x[None])[0].flatten()
    # float64, sums of at most 9 * 3 terms of order 1
    torch.testing.assert_close(found, dense(layer, x.flatten(), size), atol=1e-13, rtol=0)


@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_pooling_layer_against_dense_matrices(size):
    torch.manual_seed(0)
    layer = randomise(Pooling(3))
    (h, w), (rows, cols) = size, (-(-size[0] // 2), -(-size[1] // 2))
    x = torch.rand(3, h, w, dtype=torch.float64)
    A, b = affine(layer.conv, layer.bn, size)
    padded = torch.zeros(6, 2 * rows, 2 * cols, dtype=torch.float64)
    padded[1:4, :h, :w] = x  # ⌊(6 − 3)/2⌋ = 1 channel of zeros in front
    means = padded.reshape(6, rows, 2, cols, 2).mean(dim=(2, 4))
    expected = torch.relu(means.flatten() - torch.relu(A @ x.flatten() + b))
    torch.testing.assert_close(layer(x[None])[0].flatten(), expected, atol=1e-13, rtol=0)


def test_strided_original_layer_keeps_every_second_pixel():
    layer = Residual(2, 4).eval()
    nn.init.zeros_(layer.bn2.weight)
    x = torch.rand(1, 2, 5, 6)
    assert torch.equal(layer(x)[0, 1:3], x[0, :, ::2, ::2])
    assert not layer(x)[0, [0, 3]].any()


def test_classifier_and_convolution_start_as_the_paper_says():
    torch.manual_seed(0)
    classifier = Classifier(64, 100)
    std = 1 / 6400
    assert classifier.weight.abs().max() <= 2 * std
    # A normal distribution cut at 2σ has 0.880 of the standard deviation; 6,400 draws.
    assert classifier.weight.std().item() == pytest.approx(0.880 * std, rel=0.03)
    assert not classifier.bias.any()
    first = Convolution(3, 500).conv.weight
    limit = (3 / 27) ** 0.5
    assert 0.99 * limit < first.abs().max() <= limit
    inner = Residual(64).conv1.weight
    assert inner.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.02)


def test_resnet_s_has_one_filter_and_its_gradient_is_that_of_both_uses():
    torch.manual_seed(0)
    layer = randomise(ResidualS(2))
    assert [n for n, p in layer.named_parameters()] == ["conv.weight", "bn1.weight", "bn1.bias"]
    x = torch.rand(1, 2, 4, 4, dtype=torch.float64)
    layer(x).square().sum().backward()
    K = layer.conv.weight
    gradient, h = K.grad.clone(), 1e-6
    with torch.no_grad():
        for index in [(0, 0, 0, 0), (1, 0, 2, 1), (0, 1, 1, 1)]:
            value = K[index].item()
            K[index] = value + h
            up = layer(x).square().sum()
            K[index] = value - h
            down = layer(x).square().sum()
            K[index] = value
            # central differences: O(h²) and rounding 1e-16 / h
            assert gradient[index].item() == pytest.approx(((up - down) / (2 * h)).item(), abs=1e-7)


def test_projection_makes_K2_nonnegative_and_touches_nothing_else():
    network = Network("D", 2, width=3)
    assert all((la.conv2.weight >= 0).all() for la in network.layers if isinstance(la, ResidualD))
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn_like(p))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    project_(network)
    for name, value in network.state_dict().items():
        expected = before[name].clamp(min=0) if "conv2" in name else before[name]
        assert torch.equal(value, expected), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "X"}, "unknown variant 'X'"),
        ({"blocks": 0}, "blocks must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"classes": -1}, "classes must be at least 1"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Network(**arguments)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32)])
def test_images_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(InputError, match=r"images must have the shape \(batch, 3, height, width\)"):
        Network()(torch.rand(shape))
