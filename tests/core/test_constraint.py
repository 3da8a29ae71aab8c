"""Networks for which the hypotheses hold: their constant, their initial filters."""

from math import sqrt

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from forward_stability.certificates import certify
from forward_stability.constraint import constrain, initialise_, lift, plain_weights, sensitivity
from forward_stability.errors import InputError
from forward_stability.folding import input_sizes
from forward_stability.graph import fold
from forward_stability.layers import Convolution, PeriodicConv2d, Pooling, ResidualS
from forward_stability.models import Network
from forward_stability.spectral import conv_norm, trained_weight

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


def test_unshuffling_has_the_constant_one_in_place_of_a_pooling_layer():
    torch.manual_seed(0)
    options = {"unshuffle": True, "pooling": "unshuffling", "flatten": SIZE}
    network = Network("S", 2, 2, batch_norm=False, **options)
    nn.init.orthogonal_(network.layers[-1].weight)
    constrain(network, SIZE, 0.3)
    assert sensitivity(network, SIZE, 0.3) == 1.0
    report = certify(network, SIZE)
    assert 0.96 < report["sharpened"].a <= 1
    assert (report.theorem, report.hypotheses_hold) == ("Theorem 6", True)
    assert report["printed"].a == pytest.approx(1, rel=1e-8)


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


def lifted_and_not(height, **options):
    """Two networks of the same weights, one lifted, the other without outer ReLU; and images."""
    options |= {"batch_norm": False, "unshuffle": True, "pooling": "unshuffling"}
    networks = []
    for outer_relu in (True, False):
        torch.manual_seed(3)
        networks.append(Network("S", 2, 4, outer_relu=outer_relu, **options).double())
        initialise_(networks[-1], (16, 32), "isometry")
        for name, parameter in networks[-1].named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter, std=0.3)
        constrain(networks[-1], (16, 32), 0.5)
    lift(networks[0], height)
    return *networks, torch.rand(5, 3, 16, 32, dtype=torch.float64)


@pytest.mark.parametrize("options", [{}, {"halve": True}])
def test_high_above_the_walls_the_outer_relu_does_not_act(options):
    """Neither on the scores nor on their gradients."""
    lifted, free, x = lifted_and_not(20.0, flatten=(16, 32), **options)
    gradients = []
    for network in (lifted, free):
        scores = network(x)
        scores.square().sum().backward()
        found = {name.replace("bias.original", "bias"): p for name, p in network.named_parameters()}
        found = {name.replace("parametrizations.bias", "bias"): p for name, p in found.items()}
        gradients.append({"scores": scores} | {name: p.grad for name, p in found.items()})
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-11)


@torch.no_grad()
@pytest.mark.parametrize("height", [0.0, 0.1])
def test_a_lifted_network_has_its_walls_below_zero(height):
    lifted, free, x = lifted_and_not(height, flatten=(16, 32))
    z = free.centred(x)
    for layer in free.layers:
        z = layer(z).clamp(min=-height) if isinstance(layer, ResidualS) else layer(z)
    torch.testing.assert_close(lifted(x), z, rtol=0, atol=1e-12)
    assert (z - free(x)).abs().max() > 1e-3  # the walls are met
    plain = Network(
        "S", 2, 4, batch_norm=False, flatten=(16, 32), unshuffle=True, pooling="unshuffling"
    ).double()
    plain.load_state_dict(plain_weights(lifted))
    assert torch.equal(plain(x), lifted(x))
    assert certify(plain, (16, 32)).hypotheses_hold


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a layer of type Pooling cannot be lifted"),
        ({"variant": "D", "pooling": "unshuffling"}, "a layer of type ResidualD cannot be lifted"),
        ({"batch_norm": True, "pooling": "unshuffling"}, "batch normalisation has no bias to lift"),
    ],
)
def test_what_cannot_be_lifted_is_named_and_nothing_changed(options, message):
    network = Network(**{"blocks": 1, "width": 4, "batch_norm": False} | options)
    with pytest.raises(InputError, match=message):
        lift(network, 1.0)
    assert not any(parametrize.is_parametrized(module) for module in network.modules())


@torch.no_grad()
def test_identity_starts_close_to_the_identity():
    torch.manual_seed(2)
    network = Network("D", 1, 4, batch_norm=False)
    initialise_(network, SIZE, "identity")
    x = torch.rand(8, 4, *SIZE)
    assert float((network.layers[1](x) - x).norm()) < 0.1 * float(x.norm())


@pytest.mark.parametrize("variant", ["D", "S"])
def test_what_is_trained_starts_inside_the_balls(variant):
    """Not only the filters that the balls make of it: the optimiser starts on the boundary."""
    torch.manual_seed(5)
    network = Network(variant, 2, 4, batch_norm=False)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(100)
    constrain(network, SIZE, 0.3)
    sizes, seen = input_sizes(fold(network), SIZE), 0
    for layer, size in zip(network.layers, sizes, strict=True):
        for module in layer.modules():
            if isinstance(module, PeriodicConv2d):
                assert parametrize.is_parametrized(module, "weight")
                ball = module.parametrizations["weight"][0]
                stride = 2 if isinstance(layer, Pooling) else 1
                radius = {Convolution: 1, Pooling: 0.3}.get(type(layer), sqrt(2))
                assert (ball.radius, ball.size, ball.stride) == (radius, size, stride)
                norm = float(conv_norm(trained_weight(module).detach(), size, stride))
                assert 0.98 * radius < norm <= radius
                seen += 1
    assert seen == (11 if variant == "D" else 7)
    W = trained_weight(network.layers[-1]).detach().double()
    assert 0.98 < float(torch.linalg.matrix_norm(W, 2)) <= 1


def test_a_layer_that_cannot_be_constrained_is_named_and_nothing_changed():
    network = Network("original", 2, 4)
    with pytest.raises(InputError, match="layer 1, a Residual, cannot be constrained"):
        constrain(network, SIZE, 0.3)
    assert not any(parametrize.is_parametrized(module) for module in network.modules())


def test_plain_weights_are_the_filters_that_the_balls_make():
    torch.manual_seed(6)
    network = constrain(Network("S", 1, 2, batch_norm=False), SIZE, 0.3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    plain = Network("S", 1, 2, batch_norm=False)
    plain.load_state_dict(plain_weights(network))
    for one, other in zip(plain.layers, network.layers, strict=True):
        for a, b in zip(one.modules(), other.modules(), strict=False):
            if isinstance(a, PeriodicConv2d):
                assert torch.equal(a.weight, b.weight)
