"""The layers against dense matrices, their first weights, their gradients."""

from math import sqrt

import pytest
import torch
from torch import nn

from forward_stability.errors import InputError
from forward_stability.layers import (
    Classifier,
    Convolution,
    Flattening,
    GlobalPooling,
    Halving,
    MaxMin,
    PeriodicConv2d,
    Pooling,
    Residual,
    ResidualD,
    ResidualS,
    Unshuffling,
)
from forward_stability.models import Network
from forward_stability.operators import conv_matrix, pool2
from forward_stability.spectral import conv_norm


def blocks(x: torch.Tensor) -> torch.Tensor:
    """U x by definition: channel 4c + 2i + j has the pixels (2k + i, 2l + j) of channel c."""
    parts = [x[:, c, i::2, j::2] for c in range(x.shape[1]) for i in (0, 1) for j in (0, 1)]
    return torch.stack(parts, 1)


def test_unshuffling_is_a_matrix_at_each_square_of_pixels():
    torch.manual_seed(11)
    layer, x = randomise(Unshuffling(3, 5)), torch.randn(2, 3, 4, 6, dtype=torch.float64)
    A, b = affine(layer.conv, layer.bn, (1, 1))
    expected = torch.einsum("oi,nihw->nohw", A, blocks(x)) + b[:, None, None]
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(layer.fold()(x), expected, rtol=0, atol=1e-14)
    assert layer(x[:0]).shape == layer.fold()(x[:0]).shape == (0, 5, 2, 3)
    with pytest.raises(InputError, match="needs an even height and width, got 4x5"):
        layer(x[..., :5])


@pytest.mark.parametrize(("into", "out"), [(2, 3), (2, 8), (1, 7)])
def test_unshuffling_starts_as_a_projection_or_an_isometry(into, out):
    layer = Unshuffling(into, out, batch_norm=False).double()
    W = layer.conv.weight[..., 0, 0]
    gram = W @ W.T if out <= 4 * into else W.T @ W
    assert torch.equal(gram, torch.eye(min(out, 4 * into)).double())
    x = torch.randn(2, into, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[:, :into], 2 * pool2(x), rtol=1e-14, atol=1e-14)


def test_maxmin_sorts_pairs_and_is_a_layer_of_resnet_s():
    """Of a network: its convolution, one orthogonal tap at the start, preserves norms as well."""
    torch.manual_seed(13)
    network = Network("S", 1, 4, batch_norm=False, maxmin=True).double()
    convolution, layer = network.layers[1:3]
    with torch.no_grad():
        convolution.initialise_((4, 6), "isometry")
    x = torch.randn(3, 4, 4, 6, dtype=torch.float64)
    y = convolution(x)
    torch.testing.assert_close(y.norm(), x.norm(), rtol=1e-6, atol=0)
    expected = y.unflatten(1, (2, 2)).sort(dim=1, descending=True).values.flatten(1, 2)
    assert torch.equal(layer(y), expected)
    assert not torch.equal(expected, y)
    symmetric = layer.fold()
    torch.testing.assert_close(symmetric(y), expected, rtol=0, atol=1e-15)
    dense = conv_matrix(symmetric.K, (2, 3))
    assert torch.equal(dense @ dense.T, 2 * torch.eye(12).double())
    with pytest.raises(InputError, match="MaxMin needs an even number of channels, got 3"):
        MaxMin(3)


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


@torch.no_grad()
def test_the_convex_potential_layer_against_its_formula():
    """x − (2/‖W‖²) Wᵀσ(W x + b), with A = √2 W/‖W‖ and b1 = √2 b/‖W‖, as dense matrices."""
    torch.manual_seed(3)
    layer = ResidualS(3, batch_norm=False, outer_relu=False).double()
    W, b = torch.randn(3, 3, 3, 3).double(), torch.randn(3).double()
    norm = conv_norm(W, (4, 5))
    layer.conv.weight.copy_(sqrt(2) * W / norm)
    layer.bn1.bias.copy_(sqrt(2) * b / norm)
    x, dense = torch.randn(2, 3, 4, 5).double(), conv_matrix(W, (4, 5))
    expected = (
        x.flatten(1)
        - 2 / norm**2 * torch.relu(x.flatten(1) @ dense.T + b.repeat_interleave(20)) @ dense
    )
    torch.testing.assert_close(layer(x).flatten(1), expected, rtol=0, atol=1e-13)


NORM, BIAS = ["weight", "bias"], ["bias"]


@pytest.mark.parametrize("batch_norm", [True, False])
def test_parameters_of_each_layer(batch_norm):
    """γ and β, or a bias; the second batch normalisation of ResNet-D and -S has none."""
    first, second = (NORM, []) if batch_norm else (BIAS, BIAS)
    for layer, expected in (
        (Convolution(2, 3, batch_norm), {"conv": ["weight"], "bn": first}),
        (Pooling(2, batch_norm), {"conv": ["weight"], "bn": first}),
        (
            ResidualD(2, batch_norm),
            {"conv1": ["weight"], "bn1": first, "conv2": ["weight"], "bn2": second},
        ),
        (ResidualS(2, batch_norm), {"conv": ["weight"], "bn1": first, "bn2": second}),
    ):
        names = [f"{part}.{name}" for part, known in expected.items() for name in known]
        assert [name for name, _ in layer.named_parameters()] == names
    for layer in (Convolution(2, 3), Pooling(2), ResidualD(2), ResidualS(2)):
        assert any(isinstance(module, nn.BatchNorm2d) for module in layer.modules())


def test_each_layer_folds_to_the_same_map_in_float64():
    torch.manual_seed(6)
    x, y = torch.rand(2, 4, 5, 6).double(), torch.rand(2, 4).double()
    layers = [
        Convolution(4, 3), ResidualD(4), ResidualS(4), ResidualS(4, outer_relu=False), Residual(4),
        Residual(4, 8), Pooling(4), GlobalPooling(), Halving(), Flattening(), MaxMin(4),
    ]  # fmt: skip
    for layer in layers:
        layer = randomise(layer)
        torch.testing.assert_close(layer.fold()(x - 0.5), layer(x - 0.5), rtol=0, atol=1e-13)
    classifier = randomise(Classifier(4, 3))
    torch.testing.assert_close(classifier.fold()(y), classifier(y), rtol=0, atol=1e-15)


def test_factors_of_the_constant_of_a_constrained_network():
    for layer, factor in (
        (Pooling(2), 0.5 + 0.3), (GlobalPooling(), 24**-0.5), (Halving(), 0.5), (Flattening(), 1),
        (ResidualS(2), 1), (Convolution(1, 2), 1), (Classifier(2, 3), 1),
    ):  # fmt: skip
        assert layer.constrained_norm((4, 6), 0.3) == pytest.approx(factor, rel=1e-15)
    assert Pooling(2).constrained_norm((1, 6), 0.3) == pytest.approx(0.3 + 8**-0.5, rel=1e-15)


@torch.no_grad()
def test_kinds_of_initial_filters():
    torch.manual_seed(7)
    size = (4, 6)
    for layer in (ResidualD(3), ResidualS(3)):
        before = [p.clone() for p in layer.parameters()]
        layer.initialise_(size, "paper")
        assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))
        layer.initialise_(size, "identity")
        for module in layer.modules():
            if isinstance(module, PeriodicConv2d):
                norm = float(conv_norm(module.weight, size))
                assert norm == pytest.approx(sqrt(2) / 10, rel=1e-6)
    layer.initialise_(size, "isometry")
    K = layer.conv.weight
    Q = K[..., 1, 1] / sqrt(2)
    torch.testing.assert_close(Q @ Q.T, torch.eye(3), rtol=0, atol=1e-6)
    assert int((K != 0).sum()) == 9
