"""The attacks: exact on linear networks, inside ball and box, and no weaker than they say."""

import itertools

import pytest
import torch
from builders import linear_network, randn
from scipy import stats

from forward_stability.attack import pgd_attack, search_attack
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


def recorded(f):
    """A function, and the list of what it is called with."""
    seen = []

    def network(x):
        seen.append(x.detach().clone())
        return f(x)

    return network, seen


def test_starts_are_uniform_in_the_ball():
    network, seen = recorded(lambda x: torch.stack([1 + 0 * x.sum((1, 2, 3))] * 2, 1))
    x, r = (
        torch.full((4000, 1, 1, 3), 0.5, dtype=torch.float64),
        torch.linspace(1, 9, 4000).double(),
    )
    random = torch.Generator().manual_seed(0)
    y = pgd_attack(
        network, x, torch.zeros(4000).long(), r, steps=1, restarts=1, box=None, random=random
    )
    assert torch.equal(y, x)  # no attack has succeeded
    start = (seen[1] - x).flatten(1) / r[:, None]
    length = start.norm(dim=1)
    assert stats.kstest(length.numpy() ** 3, "uniform").pvalue > 1e-3
    for coordinate in (start / length[:, None]).T:  # on a sphere, by Archimedes
        assert stats.kstest(coordinate.numpy() / 2 + 0.5, "uniform").pvalue > 1e-3


def test_where_nothing_pulls_only_a_random_start_finds_another_answer():
    """The second score is σ(5 x1), flat at the images, so that the gradient is zero there."""

    def network(x):
        first = x[:, 0, 0, 0]
        return torch.stack([0.1 + 0 * first, torch.relu(5 * first)], 1)

    x, random = torch.full((20, 1, 1, 4), -0.01), torch.Generator().manual_seed(0)
    labels = torch.zeros(20).long()
    y = pgd_attack(
        network, x, labels, torch.ones(20), steps=2, restarts=20, box=None, random=random
    )
    assert bool((network(y).argmax(1) == 1).all())


def test_steps_and_targets_are_those_of_the_formula():
    """Three restarts on a linear network of three classes: every point that it sees."""
    torch.manual_seed(3)
    W, b = randn(3, 4), torch.tensor([100.0, 1.0, 0.0], dtype=torch.float64)
    network, seen = recorded(lambda x: x.flatten(1) @ W.T + b)
    x, r, steps = 0.1 * torch.rand(5, 1, 2, 2).double(), torch.linspace(1, 3, 5).double(), 4
    random = torch.Generator().manual_seed(0)
    pgd_attack(
        network, x, torch.zeros(5).long(), r, steps=steps, restarts=3, box=None, random=random
    )
    assert len(seen) == 1 + 3 * (steps + 1)
    second = (x.flatten(1) @ W.T + b)[:, 1:].argmax(1) + 1
    for restart in range(3):
        points = [y.flatten(1) for y in seen[1 + restart * (steps + 1) :][: steps + 1]]
        target = second if restart != 1 else 3 - second
        pull = W[target] - W[0]
        for step, (y, found) in enumerate(itertools.pairwise(points)):
            y = y + pull / pull.norm(dim=1, keepdim=True) * (r * 2 * (1 - step / steps))[:, None]
            d = y - x.flatten(1)
            inside = d * (r / d.norm(dim=1)).clamp(max=1)[:, None]
            torch.testing.assert_close(found, x.flatten(1) + inside, rtol=0, atol=1e-13)


def test_pixels_stay_in_the_box_that_is_given():
    torch.manual_seed(4)
    W = torch.randn(3, 4)
    network, seen = recorded(lambda x: x.flatten(1) @ W.T + torch.tensor([9.0, 0, 0]))
    x, random = torch.full((8, 1, 2, 2), 0.5), torch.Generator().manual_seed(0)
    labels, r = torch.zeros(8).long(), torch.ones(8)
    pgd_attack(network, x, labels, r, steps=3, restarts=2, box=(0.3, 0.6), random=random)
    assert float(torch.stack(seen).min()) == pytest.approx(0.3, rel=1e-6)
    assert float(torch.stack(seen).max()) == pytest.approx(0.6, rel=1e-6)


def test_one_step_and_one_restart_are_enough_to_be_asked_for():
    x, random = torch.zeros(2, 1, 1, 1), torch.Generator().manual_seed(0)
    y = pgd_attack(
        lambda x: torch.cat([0.1 - x.flatten(1), x.flatten(1)], 1), x, torch.zeros(2).long(),
        torch.ones(2), steps=1, restarts=1, box=None, random=random,
    )  # fmt: skip
    assert bool((y >= 0.05).all())
    with pytest.raises(InputError, match="got 1 and 0"):
        pgd_attack(Network(), x, x, x, steps=1, restarts=0, random=random)


def test_the_search_finds_the_boundary_of_a_linear_network_and_not_before():
    """With four numbers the nearest point of the sphere is found up to two per cent."""
    W, b = randn(3, 4), randn(3)
    network = lambda x: x.flatten(1) @ W.T + b  # noqa: E731
    x = torch.rand(30, 2, 1, 2, dtype=torch.float64)
    labels = network(x).argmax(1)
    scores = network(x)
    gap = scores.amax(1, keepdim=True) - scores
    apart = (W[labels][:, None] - W).norm(dim=2)
    R = torch.where(apart > 0, gap / apart, torch.inf).amin(1)
    for factor, found in ((0.999, 0), (1.02, 30)):
        random = torch.Generator().manual_seed(0)
        y = search_attack(network, x, labels, factor * R, steps=600, box=None, random=random)
        assert bool(((y - x).flatten(1).norm(dim=1) <= factor * R * (1 + 1e-9)).all())
        assert int((network(y).argmax(1) != labels).sum()) == found


def test_a_step_of_the_search_changes_a_square_and_keeps_what_is_nearer():
    """Every point that the network sees is that of the formula, from the best one before it."""
    torch.manual_seed(6)
    W, steps = randn(3, 2 * 8 * 6), 40
    network, seen = recorded(lambda x: x.flatten(1) @ W.T + 99 * torch.eye(3).double()[0])
    x, r = 0.1 * torch.rand(4, 2, 8, 6).double(), torch.linspace(1, 2, 4).double()
    random = torch.Generator().manual_seed(0)
    y = search_attack(network, x, torch.zeros(4).long(), r, steps=steps, box=None, random=random)
    assert torch.equal(y, x)
    assert len(seen) == 1 + steps
    units = [(z - x) / r[:, None, None, None] for z in seen[1:]]
    margin = [(s[:, 0] - s[:, 1:].amax(1)) for s in (z.flatten(1) @ W.T for z in seen[1:])]
    best, least, moved = units[0], margin[0], 0
    for step in range(1, steps):
        side = max(1, round(3 * (1 - step / steps) ** 2))
        for i in range(4):
            scale = (units[step][i] / best[i]).median()  # of the pixels outside the square
            added = units[step][i] / scale - best[i]
            where = (added.abs() > 1e-9).nonzero()
            low, high = where[:, 1:].amin(0), where[:, 1:].amax(0)
            assert (high - low + 1).tolist() == [side, side]
            assert len(where) == 2 * side**2
            size = added[added.abs() > 1e-9].abs() * 8 * side
            assert size.tolist() == pytest.approx([1 - step / steps] * len(size), rel=1e-9)
            assert units[step][i].norm() == pytest.approx(1, rel=1e-12)
        better = margin[step] < least
        moved += int(better.sum())
        best = torch.where(better[:, None, None, None], units[step], best)
        least = torch.minimum(least, margin[step])
    assert moved > 10


def test_the_search_keeps_to_ball_and_box_and_leaves_wrong_images_alone():
    torch.manual_seed(2)
    network = Network("S", 1, 4, classes=3).eval()
    x, labels = torch.rand(30, 3, 8, 16), torch.arange(30) % 3
    r, random = torch.linspace(0.1, 20, 30), torch.Generator().manual_seed(0)
    y = search_attack(network, x, labels, r, steps=200, random=random)
    assert bool(((y - x).flatten(1).norm(dim=1) <= r * (1 + 1e-5)).all())
    assert 0 <= float(y.min()) <= float(y.max()) <= 1
    wrong, changed = network(x).argmax(1) != labels, (y != x).flatten(1).any(1)
    assert not bool((wrong & changed).any())
    assert torch.equal(network(y).argmax(1) != labels, wrong | changed)
    assert bool(changed.any())
    with pytest.raises(InputError, match="a search needs steps, got 0"):
        search_attack(network, x, labels, r, steps=0, random=random)
