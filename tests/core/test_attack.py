"""The attack: exact on linear networks, inside ball and box, and no weaker than it says."""

import pytest
import torch
from builders import linear_network

from forward_stability.attack import pgd_attack
from forward_stability.errors import InputError
from forward_stability.folding import forward
from forward_stability.models import Network


def test_the_attack_finds_the_boundary_of_a_linear_network_and_not_before():
    torch.manual_seed(1)
    layers, certificate = linear_network()

    def network(x):
        return forward(layers, x)

    x = torch.rand(20, 3, 4, 5, dtype=torch.float64)
    labels = forward(layers, x).argmax(1)
    _, R = certificate.radii(x, labels)
    for factor, found in ((0.999, 0), (1.01, 20)):
        random = torch.Generator().manual_seed(0)
        y = pgd_attack(
            network, x, labels, factor * R, steps=60, restarts=3, box=None, random=random
        )
        distance = (y - x).flatten(1).norm(dim=1)
        assert bool((distance <= factor * R * (1 + 1e-9)).all())
        assert int((forward(layers, y).argmax(1) != labels).sum()) == found


def test_the_attack_keeps_to_ball_and_box_and_leaves_wrong_images_alone():
    torch.manual_seed(2)
    network = Network("S", 1, 4, classes=3).eval()
    x, labels = torch.rand(30, 3, 8, 16), torch.arange(30) % 3
    r = torch.linspace(0.1, 3, 30)
    random = torch.Generator().manual_seed(0)
    y = pgd_attack(network, x, labels, r, steps=5, restarts=2, random=random)
    assert bool(((y - x).flatten(1).norm(dim=1) <= r * (1 + 1e-5)).all())
    assert 0 <= float(y.min()) <= float(y.max()) <= 1
    wrong = network(x).argmax(1) != labels
    assert torch.equal(x[wrong], y[wrong])
    changed = (y != x).flatten(1).any(1)
    assert torch.equal(network(y).argmax(1) != labels, wrong | changed)
    assert bool(changed.any())


def test_an_attack_without_steps_is_refused():
    with pytest.raises(InputError, match="needs steps and restarts"):
        pgd_attack(
            Network(), torch.rand(1, 3, 8, 8), torch.zeros(1).long(), torch.ones(1),
            steps=0, random=torch.Generator(),
        )  # fmt: skip
