"""Folded networks are the networks, and their layers keep to what is proven of them."""

from copy import deepcopy
from dataclasses import replace
from math import sqrt

import pytest
import torch
from builders import dense, randn, trained_like

from forward_stability.certificates import certify
from forward_stability.errors import InputError
from forward_stability.folding import (
    FoldedConv,
    FoldedFlattening,
    FoldedGlobalPooling,
    FoldedHalving,
    FoldedLinear,
    FoldedPooling,
    FoldedUnshuffling,
    distance,
    features,
    forward,
    input_channels,
    input_sizes,
    output_size,
)
from forward_stability.graph import fold
from forward_stability.layer import Folded
from forward_stability.models import Network
from forward_stability.operators import conv_matrix, pad_channels, pool2
from forward_stability.report import LayerReport
from forward_stability.spectral import conv_norm_bound


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


def bounds(layer: Folded, size=(4, 6), theorem: str = "Theorem 5") -> LayerReport:
    report, [bound] = layer.bounds(size, theorem)
    assert bound.constant == report.best
    return report


@pytest.mark.parametrize(("n", "out"), [(3, 4), (5, 4), (3, 5), (3, 7)])
def test_the_constant_of_a_pooling_layer_against_dense_matrices(n, out):
    """‖E P2 − A/2‖ + ‖A‖/2, here less than ‖P2‖ + ‖A‖."""
    torch.manual_seed(0)
    d, p, size, b = 2, n // 2, (4, 6), randn(out)
    K = 0.02 * randn(out, d, n, n)
    for i in range(d):
        K[(out - d) // 2 + i, i, p : p + 2, p : p + 2] += 1 / 4
    layer = FoldedPooling(K, b)
    A, EP2 = conv_matrix(K, size, 2), dense(lambda x: pad_channels(pool2(x), out), d, *size)
    norm = float(torch.linalg.matrix_norm(A, 2))
    report = bounds(layer)
    assert report.lipschitz == pytest.approx(0.5 + norm, rel=1e-13)
    best = float(torch.linalg.matrix_norm(EP2 - A / 2, 2)) + norm / 2
    assert report.best == pytest.approx(best, rel=1e-13)
    assert best < report.lipschitz
    assert report.gain == pytest.approx(0.5, rel=1e-14)
    assert (report.offset, report.bounds) == (0.0, ())
    assert report.norms == {"A": pytest.approx(norm, rel=1e-13)}
    assert report.biases == {"b": pytest.approx(float(b.norm()) * sqrt(2 * 3), rel=1e-14)}
    x = randn(3, d, *size)
    y = ((x.flatten(1) @ A.T) + b.repeat_interleave(6)).relu()
    expected = (x.flatten(1) @ EP2.T - y).relu()
    torch.testing.assert_close(layer(x).flatten(1), expected, rtol=0, atol=1e-13)


def test_a_pooling_layer_of_one_tap_or_on_an_odd_size_has_the_plain_constant():
    torch.manual_seed(1)
    for n, size, named in ((1, (4, 6), ()), (3, (5, 6), ("A",))):
        K = randn(4, 2, n, n)
        report = bounds(FoldedPooling(K, randn(4)), size)
        norm = float(conv_norm_bound(K, size, 2)[0])
        assert report.best == report.lipschitz == pytest.approx(0.5 + norm, rel=1e-14)
        assert report.bounds == named


def test_linear_layers_have_the_norms_of_their_matrices():
    torch.manual_seed(2)
    K, W, b = randn(3, 2, 3, 3), randn(3, 5), randn(3)
    norm = float(torch.linalg.matrix_norm(conv_matrix(K, (4, 6)), 2))
    for theorem, first, last in (("Theorem 5", "20a", "20b"), ("Theorem 6", "23a", "23b")):
        conv = bounds(FoldedConv(K, b), theorem=theorem)
        assert (conv.lipschitz, conv.best, conv.gain) == (pytest.approx(norm, rel=1e-13),) * 3
        assert conv.offset == pytest.approx(float(b.norm()) * sqrt(24), rel=1e-14)
        assert conv.biases == {"b": conv.offset}
        assert [(c.equation, c.value, c.limit) for c in conv.checks] == [(first, conv.best, 1)]
        linear = bounds(FoldedLinear(W, b), theorem=theorem)
        assert linear.best == pytest.approx(float(torch.linalg.svdvals(W)[0]), rel=1e-14)
        assert (linear.size, linear.offset) == ((1, 1), pytest.approx(float(b.norm()), rel=1e-15))
        assert [(c.equation, c.value, c.limit) for c in linear.checks] == [(last, linear.best, 1)]
    assert bounds(FoldedConv(K, b), theorem="").checks == ()
    assert bounds(FoldedLinear(W, b), theorem="").checks == ()
    for layer, found in (
        (FoldedGlobalPooling(), 1 / sqrt(24)),
        (FoldedHalving(), 0.5),
        (FoldedFlattening(), 1.0),
    ):
        report = bounds(layer)
        assert (report.lipschitz, report.gain) == pytest.approx((found, found), rel=1e-14)
        assert report.offset == 0.0
        A = dense(lambda x, f=layer: f(x + 1e3) - f(0 * x + 1e3), 2, 4, 6)
        assert float(torch.linalg.matrix_norm(A, 2)) == pytest.approx(found, rel=1e-10)


def test_the_norm_of_an_unshuffling_is_that_of_its_matrix():
    torch.manual_seed(4)
    layer = FoldedUnshuffling(randn(3, 8), randn(3))
    A = dense(lambda x: layer(x) - layer(0 * x), 2, 4, 6)
    for theorem, equation in (("Theorem 5", "20a"), ("Theorem 6", "23a"), ("", None)):
        report = bounds(layer, theorem=theorem)
        assert report.lipschitz == pytest.approx(float(torch.linalg.matrix_norm(A, 2)), rel=1e-12)
        assert report.offset == pytest.approx(float(layer(0 * randn(1, 2, 4, 6)).norm()))
        assert [check.equation for check in report.checks] == ([equation] if equation else [])
    assert layer.channels((4, 6)) == 2
    assert input_channels([layer], (4, 6)) == 2
    assert output_size([layer], (4, 6)) == (2, 3)


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 9)])
def test_sizes_are_those_of_the_features(size):
    torch.manual_seed(3)
    for network in (
        Network("S", 1, 2, halve=True),
        Network("original", 1, 2),
        Network("D", 1, 2, flatten=size),
    ):
        layers, x = fold(network.eval()), torch.rand(1, 3, *size, dtype=torch.float64)
        found = [(tuple(z.shape[2:]) or (1, 1)) for z in features(layers, x)[:-1]]
        assert input_sizes(layers, size) == found


def test_what_is_no_layer_of_ours_is_named():
    network = Network("S", 1, 2)
    network.layers[1] = torch.nn.ReLU()
    with pytest.raises(InputError, match="layer 1, a ReLU, cannot be folded"):
        fold(network)


@pytest.mark.parametrize("variant", ["S", "original"])
def test_the_distance_of_other_weights_is_bounded_and_attained_by_one_layer(variant):
    torch.manual_seed(5)
    network = trained_like(variant)
    x = network.centred(torch.rand(20, 2, 8, 8, dtype=torch.float64))
    constants = [layer.best for layer in certify(network, (8, 8)).layers]
    right, rounded = fold(network), fold(deepcopy(network).half().double())
    output, bound = distance(right, rounded, constants, x)
    apart = (forward(right, x) - output).norm(dim=1)
    assert torch.equal(output, forward(rounded, x))
    assert bool((apart > 0).all() and (apart <= bound).all())
    half = replace(right[-1], W=right[-1].W / 2)  # only the last layer differs: nothing is lost
    last = [*right[:-1], half]
    output, bound = distance(right, last, constants, x)
    apart = (forward(right, x) - output).norm(dim=1)
    assert bool((apart <= bound).all())
    torch.testing.assert_close(bound, apart, rtol=1e-6, atol=0)
