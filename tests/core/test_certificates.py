"""Theorems 5 and 6 against random networks, searches, and networks that attain the bounds."""

from dataclasses import replace
from functools import partial
from math import sqrt

import pytest
import torch
from builders import (
    SIZE,
    assert_no_violation,
    barely_above,
    randn,
    random_inputs,
    trained_like,
)

from forward_stability.certificates import best_constants, certify, certify_layers
from forward_stability.errors import InputError
from forward_stability.examples import LEVEL, delta, random_network, tight_network, unit
from forward_stability.folded_residual import FoldedResidual, FoldedSymmetric
from forward_stability.folding import (
    FoldedConv,
    FoldedGlobalPooling,
    FoldedHalving,
    FoldedLinear,
    FoldedPooling,
    forward,
)
from forward_stability.graph import fold
from forward_stability.layer import Folded
from forward_stability.models import Network
from forward_stability.radius import certifier
from forward_stability.spectral import conv_norm
from forward_stability.worst_pair import local_norm, stretch


@pytest.mark.parametrize("variant", ["D", "S"])
def test_no_violation_on_random_networks_that_satisfy_the_hypotheses(variant):
    """48 networks with 50 pairs each, the 12 sizes and biases four times; the search has 5,000."""
    torch.manual_seed(0)
    alive = 0
    for trial in range(48):
        size = [(4, 4), (8, 6), (5, 7)][trial % 3]
        bias = [0.0, 0.1, 1.0, 10.0][trial % 4]
        layers = random_network(variant, 1 + trial % 5 % 3, size, bias=bias)
        report = certify_layers(layers, size)
        assert report.hypotheses_hold
        assert not report.failed
        x, y = random_inputs(50, size)
        assert_no_violation(layers, report, x, y)
        alive += not torch.equal(forward(layers, x), forward(layers, y))
    assert alive > 36  # in the others no signal gets through the last ReLU


@pytest.mark.parametrize("variant", ["D", "S", "original"])
def test_no_violation_on_networks_that_violate_the_hypotheses(variant):
    torch.manual_seed(1)
    for _ in range(10):
        network = trained_like(variant)
        layers, report = fold(network), certify(network, SIZE)
        assert not report.hypotheses_hold
        assert_no_violation(layers, report, *random_inputs(50, SIZE, 2))


@pytest.mark.parametrize("variant", ["D", "S", "original"])
def test_jacobians_stay_below_the_constants(variant):
    """Exact norms of Jacobians, from autograd, at random points of random networks."""
    torch.manual_seed(2)
    for trial in range(4):
        network = trained_like(variant, blocks=1, width=2)
        if trial % 2:  # some channels turned off, some with a negative γ
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d) and module.affine:
                    module.weight.data[0] *= -1
                    module.weight.data[1] = 0
        layers, report = fold(network), certify(network, (4, 4))
        f, x = partial(forward, layers), 3 * randn(5, 2, 4, 4)
        for point in x:
            J = torch.autograd.functional.jacobian(f, point[None])[0]
            norm = float(torch.linalg.matrix_norm(J.flatten(1), 2))
            assert norm <= report["best"].a <= report["sharpened"].a
        found, _ = local_norm(f, x[-1:], steps=100)
        assert float(found) == pytest.approx(norm, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("size", [(8, 8), (12, 4)])
@pytest.mark.parametrize("variant", ["D", "S"])
def test_the_sharpened_constant_is_attained(variant, size):
    """So every factor of it is needed: no smaller function of the norms is a bound."""
    layers, level = tight_network(variant, (0.7, 1.3)), LEVEL
    report = certify_layers(layers, size)
    assert report.hypotheses_hold
    x = torch.full((1, 1, *size), level, dtype=torch.float64)
    attained = float(stretch(partial(forward, layers), x, x + 1e-3))
    pixels = size[0] * size[1] / 16
    expected = (0.5 + 0.7) * (0.5 + 1.3) / sqrt(pixels)
    if variant == "D":
        expected *= 1.3**3
    assert attained == pytest.approx(expected, rel=1e-9)
    assert barely_above(report["sharpened"].a, expected)
    assert barely_above(report["best"].a, expected)
    pools = (1 + 0.7) * (1 + 1.3) * (1.3**3 if variant == "D" else 1)
    assert barely_above(report["corrected"].a, pools)
    printed = 1.3**3 if variant == "D" else pools
    assert barely_above(report["printed"].a, printed)


def test_equation_51_as_printed_is_not_a_bound():
    """A network that satisfies every hypothesis and breaks Eq. 51: the pooling layers are missing.

    On 4x4 images the last stage has one pixel, so that Pg costs nothing.
    """
    layers, level = tight_network("D", (3.0, 3.0)), LEVEL
    report = certify_layers(layers, (4, 4))
    assert report.hypotheses_hold
    assert not report["printed"].a_proven
    x = torch.full((1, 1, 4, 4), level, dtype=torch.float64)
    attained = float(stretch(partial(forward, layers), x, x + 1e-3))
    assert attained == pytest.approx(3.5**2 * 1.3**3, rel=1e-9)
    assert attained > 5 * report["printed"].a
    assert attained <= report["corrected"].a


@pytest.mark.parametrize("variant", ["D", "S"])
def test_the_growth_constant_is_attained(variant):
    """Positive biases that add up on constant features, and c as a sum of the printed terms."""
    size, d = (4, 4), 2
    b = 0.5 * torch.ones(d, dtype=torch.float64)
    zero, one = torch.zeros(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64)
    K = torch.zeros(d, d, 3, 3, dtype=torch.float64)
    residual = (
        FoldedSymmetric(K, zero, b, one, one)
        if variant == "S"
        else FoldedResidual(K, 3 * one, K, b)  # b1 must not count
    )
    P1, P2 = torch.zeros(4, 2, 3, 3), torch.zeros(8, 4, 3, 3)
    last = unit(8, 3, 0.2) + unit(8, 4, 0.2)  # the channels in which the features are
    layers: list[Folded] = [
        FoldedConv(delta(d, 1, 0, 0, 1), b),
        residual,
        residual,
        FoldedPooling(P1.double(), torch.zeros(4, dtype=torch.float64)),
        FoldedPooling(P2.double(), torch.zeros(8, dtype=torch.float64)),
        FoldedGlobalPooling(),
        FoldedLinear(0.5 * torch.eye(8, dtype=torch.float64), last),
    ]
    report = certify_layers(layers, size)
    x = torch.zeros(1, 1, *size, dtype=torch.float64)
    norm = float(forward(layers, x).norm())
    # 3 biases of norm 4·‖b‖; two pooling layers and the classifier halve; one pixel is left.
    expected = 3 * 4 * float(b.norm()) / 8 + float(last.norm())
    assert norm == pytest.approx(expected, rel=1e-12)
    assert barely_above(report["sharpened"].c, expected)
    assert barely_above(report["best"].c, expected)
    assert barely_above(report["sharpened"].g, 1 / 8)
    corrected = 3 * 4 * float(b.norm()) + float(last.norm())
    assert barely_above(report["corrected"].c, corrected)
    b1 = 2 * 4 * float((3 * one).norm())
    assert barely_above(report["printed"].c, corrected + (b1 if variant == "D" else 0))
    assert barely_above(report["printed"].g, 1)
    assert report["corrected"].g == report["printed"].g


def test_the_best_constant_of_a_residual_layer_is_attained():
    """A2 A1 = I: the Jacobians I − D have norm 1, where 1 + ‖A1‖‖A2‖ = 2."""
    K = delta(2, 2, 0, 0, 1) + delta(2, 2, 1, 1, 1)
    zero = torch.zeros(2, dtype=torch.float64)
    layer = FoldedResidual(K, zero - 100, K, zero)
    front = FoldedConv(delta(2, 1, 0, 0, 1), zero)
    report = certify_layers([front, layer], (3, 3)).layers[1]
    assert (report.lipschitz, report.best) == pytest.approx((2, 1), rel=1e-12)
    x = torch.rand(1, 2, 3, 3, dtype=torch.float64)
    assert float(stretch(layer, x, 2 * x)) == pytest.approx(1, rel=1e-12)


def test_a_chain_of_weighted_layers_beats_the_product_of_plain_constants():
    torch.manual_seed(5)
    d2 = torch.tensor([0.2, 3.0], dtype=torch.float64)
    one, layers = torch.ones(2, dtype=torch.float64), [FoldedConv(delta(2, 1, 0, 0, 1), randn(2))]
    for _ in range(6):
        K = randn(2, 2, 3, 3)
        K *= sqrt(2) / conv_norm(K * d2.sqrt()[:, None, None], SIZE)
        layers.append(FoldedSymmetric(K, randn(2), randn(2), one, d2))
    report = certify_layers(layers, SIZE)
    # Into the weighted norm and back once, whatever the depth.
    assert report["best"].a <= sqrt(3.0 / 0.2) * (1 + 1e-8)
    assert report["sharpened"].a > 100 * report["best"].a
    assert_no_violation(layers, report, *random_inputs(200))


def test_the_constant_of_a_chain_of_weighted_norms_is_attained():
    """Two reflections, each in its own weighted norm: e3 goes to e2 and then to e1."""
    w1, w2 = torch.tensor([[1.0, 2.0, 4.0], [1.0, 3.0, 3.0]], dtype=torch.float64)
    identity = sum((delta(3, 3, i, i, 1) for i in range(3)), torch.zeros(3, 3, 3, 3).double())
    layers: list[Folded] = [FoldedConv(identity, 0 * w1)]
    for w, (i, j) in ((w1, (2, 1)), (w2, (1, 0))):
        u = (unit(3, i, 1) - unit(3, j, 1)) / sqrt(2)
        K = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
        K[0, :, 1, 1] = sqrt(2) * u * w
        layers.append(FoldedSymmetric(K, unit(3, 0, 1e4), 0 * w + 1e6, 1 + 0 * w, w**-2))
    report = certify_layers(layers, (3, 3))
    x = torch.full((1, 3, 3, 3), 100.0, dtype=torch.float64)
    y = x + unit(3, 2, 1)[:, None, None]
    assert float(stretch(partial(forward, layers), x, y)) == pytest.approx(6, rel=1e-8)
    assert report["best"].a == pytest.approx(6, rel=1e-8)


def broken(variant: str, what: str) -> list[Folded]:
    layers = random_network(variant, 2, SIZE)
    first, residual, last = layers[0], layers[1], layers[-1]
    assert isinstance(first, FoldedConv)
    assert isinstance(last, FoldedLinear)
    if what in ("20a", "23a"):
        layers[0] = replace(first, K=1.0001 * first.K)
    elif what in ("20b", "23b"):
        layers[-1] = replace(last, W=1.0001 * last.W)
    elif what == "14":
        assert isinstance(residual, FoldedResidual)
        K2 = residual.K2.clone()
        K2[0, 1, 2, 2] = -1e-6
        layers[1] = replace(residual, K2=K2)
    elif what == "24":
        assert isinstance(residual, FoldedSymmetric)
        layers[1] = replace(residual, K=1.0001 * residual.K)
    elif what == "15 d2":
        assert isinstance(residual, FoldedSymmetric)
        layers[1] = replace(residual, d2=torch.tensor([1, 0.999], dtype=torch.float64))
    elif what == "15 d1":
        assert isinstance(residual, FoldedSymmetric)
        layers[1] = replace(residual, d1=torch.tensor([1, -1e-3], dtype=torch.float64))
    return layers


@pytest.mark.parametrize(
    ("variant", "what", "layer"),
    [
        ("D", "20a", 0),
        ("D", "20b", -1),
        ("D", "14", 1),
        ("S", "23a", 0),
        ("S", "23b", -1),
        ("S", "24", 1),
        ("S", "15 d2", 1),
        ("S", "15 d1", 1),
    ],
)
def test_a_violated_hypothesis_is_detected(variant, what, layer):
    torch.manual_seed(6)
    assert certify_layers(random_network(variant, 2, SIZE), SIZE).hypotheses_hold
    layers = broken(variant, what)
    report = certify_layers(layers, SIZE)
    assert not report.hypotheses_hold
    ((index, check),) = report.failed
    assert index == layer % len(layers)
    assert check.equation == what.split()[0]
    assert not report["corrected"].c_proven
    # The sensitivity of Theorem 5 does not need A2 ≥ 0.
    assert report["corrected"].a_proven == (what == "14")
    assert report["sharpened"].a_proven
    assert report["best"].c_proven
    assert_no_violation(layers, report, *random_inputs(50))
    assert f"Eq. {check.equation} fails" in str(report)


def test_a_different_scale_of_the_hidden_units_is_no_violation():
    """ReLU commutes with D1 > 0: x − Aᵀσ(D1 A x + b) has the form of Eq. 15 for D1^½ A."""
    torch.manual_seed(7)
    layers = random_network("S", 1, SIZE)
    assert isinstance(layers[1], FoldedSymmetric)
    d1 = torch.tensor([0.3, 0.9], dtype=torch.float64)
    layers[1] = replace(layers[1], d1=d1, d2=1.1 * torch.ones(2, dtype=torch.float64))
    report = certify_layers(layers, SIZE)
    assert report.hypotheses_hold
    assert 1 <= report.layers[1].lipschitz <= 1 + 1e-14
    assert_no_violation(layers, report, *random_inputs(50))


def test_constants_of_theorem_6_on_cifar_sized_images():
    """(1/2 + ‖A^{m+1}‖)(1/2 + ‖A^{2m+1}‖)/8 for 32x32 images."""
    torch.manual_seed(10)
    layers = random_network("S", 1, (32, 32))
    report = certify_layers(layers, (32, 32))
    first, second = (r.norms["A"] for r in report.layers if r.kind == "2D pooling")
    expected = (0.5 + first) * (0.5 + second) / 8
    assert barely_above(report["sharpened"].a, expected)
    assert barely_above(report["printed"].a, (1 + first) * (1 + second))
    assert report["best"].a <= report["sharpened"].a


def test_odd_sizes_are_bounded_and_marked():
    torch.manual_seed(11)
    layers = random_network("D", 1, (7, 5))
    report = certify_layers(layers, (7, 5))
    pools = [r for r in report.layers if r.kind == "2D pooling"]
    assert [r.size for r in pools] == [(7, 5), (4, 3)]
    assert [r.bounds for r in pools] == [("A",), ("A",)]
    assert [r.size for r in report.layers][-2:] == [(2, 2), (1, 1)]


def test_bad_input_is_refused():
    layers = tight_network("S", (0.7, 1.3))
    for size in ((0, 4), (4, 0)):
        with pytest.raises(InputError, match="must be positive"):
            certify_layers(layers, size)
    for bad in ([], [FoldedGlobalPooling()]):
        with pytest.raises(InputError, match="no layer has a filter"):
            certify_layers(bad, SIZE)
    assert certify_layers(layers[1:], SIZE).layers[0].kind == layers[1].kind
    assert certify_layers(layers, (1, 1)).size == (1, 1)


def test_biases_of_every_kind_are_in_the_constants_that_name_them():
    """Eq. 45 sums all of them, Eq. 55 takes √2 b1 + b2, the corrected one of Theorem 5 only b2."""
    torch.manual_seed(12)
    for variant in ("D", "S"):
        report = certify_layers(random_network(variant, 2, (4, 4)), (4, 4))
        ends = [r for r in report.layers if r.kind in ("convolution", "classifier")]
        inner = [r for r in report.layers if r.kind.startswith("residual")]
        outer = sum(r.biases["b"] for r in ends)
        b1, b2 = (sum(r.biases[b] for r in inner) for b in ("b1", "b2"))
        pools = sum(r.biases["b"] for r in report.layers if r.kind == "2D pooling")
        assert min(outer, b1, b2, pools) > 0.1
        if variant == "S":
            assert barely_above(report["printed"].c, outer + sqrt(2) * b1 + b2)
            assert barely_above(report["corrected"].c, outer + sum(r.offset for r in inner))
            assert report["corrected"].c < report["printed"].c
        else:
            assert barely_above(report["printed"].c, outer + b1 + b2 + pools)
            assert barely_above(report["corrected"].c, outer + b2)


def test_no_theorem_speaks_of_a_mixture_or_of_the_original_network():
    torch.manual_seed(13)
    d, s = random_network("D", 1, (4, 4)), random_network("S", 1, (4, 4))
    for layers, theorem in (
        (d, "Theorem 5"),
        (s, "Theorem 6"),
        ([*d[:2], s[1], *d[2:]], ""),
        (fold(Network("original", 1, 2, channels=1)), ""),
        (
            [d[0], d[-2], FoldedLinear(randn(3, 2) / 9, randn(3))],
            "Theorem 5",
        ),  # without residual layers both hold
    ):
        report = certify_layers(layers, (4, 4))
        assert report.theorem == theorem
        assert report.hypotheses_hold == (theorem != "")
        names = ["printed", "corrected"] if theorem else []
        assert [c.name for c in report.constants] == [*names, "sharpened", "best"]
        assert [r.index for r in report.layers] == list(range(len(layers)))
        assert all(c.a_proven and c.c_proven for c in report.constants[-2:])


def test_halving_in_front_halves_the_constant():
    layers = tight_network("S", (0.7, 1.3))
    plain, halved = (
        certify_layers(layers, (4, 4)),
        certify_layers([FoldedHalving(), *layers], (8, 8)),
    )
    assert halved["best"].a == pytest.approx(plain["best"].a / 2, rel=2e-10)
    assert halved["sharpened"].a == pytest.approx(plain["sharpened"].a / 2, rel=2e-10)


@pytest.mark.parametrize("name", ["layers.1.conv.weight", "layers.1.bn1.running_var", "mean"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nothing_is_said_of_a_network_that_is_not_finite(name, bad):
    network = trained_like("S")
    network.state_dict()[name].view(-1)[0] = bad
    for ask in (lambda: certify(network, SIZE), lambda: certifier(network, SIZE)):
        with pytest.raises(InputError, match=f"{name} of the network is not finite"):
            ask()


@pytest.mark.parametrize(("variant", "scale"), [("D", 1e120), ("S", 1e120), ("S", 1e300)])
def test_a_constant_beyond_float64_is_refused(variant, scale):
    """No infinite constant, and no NaN of an infinite gain times an offset of 0."""
    network = trained_like(variant)
    for name, weight in network.state_dict().items():
        if name.endswith("weight") and "bn" not in name:
            weight *= scale
    with pytest.raises(InputError, match=r"beyond float64|not finite"):
        certify(network, SIZE)


@pytest.mark.parametrize("variant", ["D", "S", "original"])
def test_best_constants_are_those_of_the_first_layers(variant):
    torch.manual_seed(9)
    layers = fold(trained_like(variant))
    found = best_constants(layers, (8, 8))
    expected = [certify_layers(layers[: n + 1], (8, 8))["best"].a for n in range(len(layers))]
    assert found == expected
    assert len(set(found)) > 3
    huge = FoldedConv(1e300 * randn(2, 2, 3, 3), randn(2))
    with pytest.raises(InputError, match="the product of all layers"):
        best_constants([huge, huge], (8, 8))
