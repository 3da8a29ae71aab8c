"""Certified radii: exact where the truth is known, and never above what an attack finds."""

from dataclasses import replace
from fractions import Fraction
from math import sqrt

import pytest
import torch
from builders import certifier_of, constrained_network, exact, linear_network, randn

from forward_stability.attack import pgd_attack
from forward_stability.certificates import certify_layers
from forward_stability.folding import FoldedConv, FoldedFlattening, FoldedLinear, forward
from forward_stability.graph import fold
from forward_stability.models import Network
from forward_stability.radius import certifier

SIZE = (8, 16)


def test_the_radius_of_a_linear_network_is_its_distance_from_the_boundary():
    torch.manual_seed(0)
    layers, certificate = linear_network()
    x = torch.rand(50, 3, 4, 5, dtype=torch.float64)
    labels = forward(layers, x).argmax(1)
    scores, R = certificate.radii(x, labels)
    W, Q = layers[-1].W, layers[0].K[..., 0, 0]
    for k in range(50):
        nearest, t = torch.inf, int(labels[k])
        for j in set(range(4)) - {t}:
            # The nearest point with equal scores lies along the gradient of their difference.
            v = torch.einsum("oi,ohw->ihw", Q, (W[t] - W[j]).reshape(3, 4, 5))
            step = (scores[k, t] - scores[k, j]) / v.square().sum()
            y = forward(layers, (x[k] - step * v)[None])[0]
            assert abs(float(y[t] - y[j])) < 1e-12
            nearest = min(nearest, float(step * v.norm()))
        assert nearest * (1 - 1e-8) < float(R[k]) <= nearest


@pytest.mark.parametrize(
    "options",
    [
        {"variant": "S", "flatten": SIZE},
        {"variant": "S", "flatten": SIZE, "outer_relu": False, "initialisation": "isometry"},
        {"variant": "S", "flatten": SIZE, "maxmin": True, "initialisation": "isometry"},
        {"variant": "S"},
        {"variant": "S", "flatten": SIZE, "halve": True},
        {"variant": "S", "flatten": SIZE, "unshuffle": True, "pooling": "unshuffling"},
        {"variant": "D", "flatten": SIZE},
    ],
)
def test_no_attack_succeeds_inside_a_certified_radius(options):
    torch.manual_seed(5)
    network, x, labels = constrained_network(size=SIZE, **options)
    scores, R = certifier(network, SIZE).radii(x, labels)
    assert bool((R > 0).all())
    assert bool((scores.argmax(1) == labels).all())
    random = torch.Generator().manual_seed(0)
    y = pgd_attack(
        network, x, labels, R * (1 - 1e-5), steps=12, restarts=3, box=None, random=random
    )
    after, _ = certifier(network, SIZE).radii(y, labels)
    assert bool((after.argmax(1) == labels).all())
    y = pgd_attack(network, x, labels, 1000 * R, steps=12, restarts=3, box=None, random=random)
    assert bool((network(y).argmax(1) != labels).any())  # the attack is not a weak one


def test_a_smaller_constant_would_be_refuted():
    """A network whose first filter is a hundred times too large, certified as if it were not."""
    torch.manual_seed(6)
    network, x, _ = constrained_network("S", SIZE, flatten=SIZE)
    small = certifier(network, SIZE)
    with torch.no_grad():
        ball = network.layers[0].conv.parametrizations.weight[0]
        ball.radius = 1e3
        network.layers[0].conv.parametrizations.weight.original.mul_(100)
    labels = network(x).argmax(1)
    large = certifier(network, SIZE)
    assert large.constant > 50 * small.constant
    claimed = replace(large, constant=small.constant)
    _, R = claimed.radii(x, labels)
    random = torch.Generator().manual_seed(0)
    y = pgd_attack(network, x, labels, R, steps=40, restarts=2, box=None, random=random)
    assert bool((network(y).argmax(1) != labels).any())


def test_wrong_answers_have_no_radius():
    torch.manual_seed(3)
    layers, certificate = linear_network()
    x = torch.rand(20, 3, 4, 5, dtype=torch.float64)
    labels = (forward(layers, x).argmax(1) + 1) % 4
    assert float(certificate.radii(x, labels)[1].max()) == 0


def test_the_margin_of_each_pair_beats_the_norm_of_the_classifier():
    """‖w_t − w_j‖ ≤ √2 ‖W‖, so that the radius is at least (y_t − y_j)/(√2 L ‖W‖)."""
    torch.manual_seed(4)
    network = Network("S", 1, 3, batch_norm=False, flatten=SIZE).eval()
    x = torch.rand(20, 3, *SIZE)
    labels = network(x).argmax(1)
    c = certifier(network, SIZE)
    scores, R = c.radii(x, labels)
    top = scores.topk(2).values
    norm = torch.linalg.matrix_norm(network.layers[-1].weight.double(), 2)
    plain = (top[:, 0] - top[:, 1]) / (sqrt(2) * c.constant * norm)
    assert bool((plain * (1 - 1e-9) <= R).all())
    assert bool((plain * 1.01 < R).any())


def test_a_radius_is_never_above_that_in_exact_arithmetic():
    """Scores that cancel: float64 takes many a wrong answer for right, the certificate none.

    One convolution that changes nothing, and two classes whose scores differ by a few units of the
    last place of their terms.
    """
    torch.manual_seed(7)
    identity, zero = torch.eye(8)[..., None, None].double(), torch.zeros(8).double()
    wrong = 0
    for _ in range(50):
        x, W = torch.rand(1, 8, 1, 1).double() + 0.5, 1e4 * randn(2, 8)
        margin = exact(W[0] - W[1]) @ exact(x.flatten())
        b = torch.tensor([-float(margin), 1e-12 * float(torch.randn(()))], dtype=torch.float64)
        layers = [FoldedConv(identity, zero), FoldedFlattening(), FoldedLinear(W, b)]
        scores, R = certifier_of(layers, (1, 1)).radii(x, torch.tensor([0]))
        y = exact(W) @ exact(x.flatten()) + exact(b)
        wrong += bool(scores[0, 0] > scores[0, 1]) and y[0] <= y[1]
        assert (
            float(R) == 0
            or Fraction(float(R)) ** 2 * sum(exact(W[0] - W[1]) ** 2) <= (y[0] - y[1]) ** 2
        )
        assert y[0] > y[1] or float(R) == 0
    assert wrong >= 5  # so many would be certified without the allowance for rounding


def test_constant_and_distances_cover_the_exact_ones():
    torch.manual_seed(8)
    network = Network("S", 1, 2, batch_norm=False, flatten=SIZE).eval()
    with torch.no_grad():
        network.layers[0].conv.weight.mul_(50)
        network.layers[2].conv.weight.mul_(1e-3)
        network.layers[-1].weight.mul_(1e4)
        network.get_buffer("mean").fill_(0.25)
    c = certifier(network, SIZE)
    report = certify_layers(fold(network)[:-1], SIZE)
    assert c.constant == report["best"].a
    W = network.layers[-1].weight.detach().double()
    for i, j in ((0, 1), (3, 7), (9, 2)):
        squared = sum((exact(W[i]) - exact(W[j])) ** 2)
        found = Fraction(float(c.distances[i, j])) ** 2
        assert squared < found < squared * (1 + Fraction(1, 10**11))
    assert c.constants == [r.best for r in report.layers]
    assert torch.equal(c.mean, torch.full((3, 1, 1), 0.25, dtype=torch.float64))
