"""Certified radii: exact where the truth is known, and never above what an attack finds."""

from math import sqrt

import pytest
import torch
from test_constraint import CONFIG, SIZE, dataset  # noqa: F401
from torch import nn

from forward_stability import cli
from forward_stability.attack import pgd_attack
from forward_stability.certificates import certify_layers
from forward_stability.errors import InputError
from forward_stability.experiments import runs, training
from forward_stability.experiments.storage import read_json
from forward_stability.experiments.training import new_network, train
from forward_stability.folding import FoldedConv, FoldedFlattening, FoldedLinear, forward
from forward_stability.models import Network
from forward_stability.radius import Certifier, certifier
from forward_stability.spectral import trained_weight


def linear(classes=4):
    """A linear network with an isometry in front, for which the radius can be written down."""
    Q = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    W = torch.randn(classes, 3 * 20, dtype=torch.float64)
    layers = [
        FoldedConv(Q[..., None, None], torch.randn(3).double()),
        FoldedFlattening(),
        FoldedLinear(W, torch.randn(classes).double()),
    ]
    distances = certify_layers(layers[:-1], (4, 5))["best"].a * torch.cdist(W, W)
    mean = torch.zeros(3, 1, 1, dtype=torch.float64)
    return layers, Certifier(layers, mean, distances, 1.0, 1.0)


@torch.no_grad()
def constrained(dataset, **options):  # noqa: F811
    """A network on the boundary of the hypotheses whose answers differ, and images for it."""
    network = new_network(CONFIG.changed(**options), dataset).eval()
    classifier, x = network.layers[-1], torch.rand(40, 3, *SIZE)
    nn.init.orthogonal_(trained_weight(classifier))
    classifier.bias -= network(x).mean(0)
    return network, x, network(x).argmax(1)


def test_the_radius_of_a_linear_network_is_its_distance_from_the_boundary():
    torch.manual_seed(0)
    layers, certificate = linear()
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


def test_the_attack_finds_the_boundary_of_a_linear_network_and_not_before():
    torch.manual_seed(1)
    layers, certificate = linear()

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
    x, labels = torch.rand(30, 3, *SIZE), torch.arange(30) % 3
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


@pytest.mark.parametrize(
    "options",
    [
        {"variant": "S", "head": "flattened"},
        {"variant": "S", "head": "flattened", "outer": "none", "initialisation": "isometry"},
        {"variant": "S", "head": "global"},
        {"variant": "S", "head": "flattened", "images": "halved"},
        {"variant": "D", "head": "flattened"},
    ],
)
def test_no_attack_succeeds_inside_a_certified_radius(dataset, options):  # noqa: F811
    torch.manual_seed(5)
    network, x, labels = constrained(dataset, **options)
    scores, R = certifier(network, SIZE).radii(x, labels)
    assert bool((R > 0).all())
    assert bool((scores.argmax(1) == labels).all())
    random = torch.Generator().manual_seed(0)
    y = pgd_attack(
        network, x, labels, R * (1 - 1e-5), steps=20, restarts=4, box=None, random=random
    )
    after, _ = certifier(network, SIZE).radii(y, labels)
    assert bool((after.argmax(1) == labels).all())
    y = pgd_attack(network, x, labels, 1000 * R, steps=20, restarts=4, box=None, random=random)
    assert bool((network(y).argmax(1) != labels).any())  # the attack is not a weak one


def test_a_smaller_constant_would_be_refuted(dataset):  # noqa: F811
    """A network whose first filter is a hundred times too large, certified as if it were not."""
    torch.manual_seed(6)
    network, x, _ = constrained(dataset, variant="S", head="flattened")
    small = certifier(network, SIZE)
    with torch.no_grad():
        ball = network.layers[0].conv.parametrizations.weight[0]
        ball.radius = 1e3
        network.layers[0].conv.parametrizations.weight.original.mul_(100)
    labels = network(x).argmax(1)
    large = certifier(network, SIZE)
    assert large.constant > 50 * small.constant
    claimed = Certifier(large.layers, large.mean, small.distances, small.constant, small.spread)
    _, R = claimed.radii(x, labels)
    random = torch.Generator().manual_seed(0)
    y = pgd_attack(network, x, labels, R, steps=40, restarts=2, box=None, random=random)
    assert bool((network(y).argmax(1) != labels).any())


def test_wrong_answers_have_no_radius():
    torch.manual_seed(3)
    layers, certificate = linear()
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


def test_the_command_prints_and_writes_both_sides(dataset, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(training, "load_dataset", lambda *_, **__: dataset)
    monkeypatch.setattr(runs, "load_dataset", lambda *_, **__: dataset)
    config = CONFIG.changed(variant="S", head="flattened", learning_rate=0.05, steps=40)
    train(config, tmp_path / "run", device="cpu")
    command = ["radii", str(tmp_path / "run"), "--images", "8", "--steps", "5", "--restarts", "2"]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert out.startswith("ResNet-S, m = 2: the hypotheses hold; constant")
    assert "36/255" in out
    entry = read_json(tmp_path / "run" / "radii.json")
    found = entry["attack"]
    assert found["inside_certified_radius"]["successes"] == 0
    assert found["inside_certified_radius"]["attacked"] > 0
    assert f"0 of {found['inside_certified_radius']['attacked']} attacks inside" in out
    assert entry["clean"] >= entry["certified"][0] >= entry["certified"][2]
    curve = entry["curve"]
    assert curve["certified"] == sorted(curve["certified"], reverse=True)
    for certified, attacked in zip(found["certified"], found["accuracy"], strict=True):
        assert certified <= attacked <= found["clean"]
    assert entry["environment"]["torch"] == torch.__version__


def test_an_attack_without_steps_is_refused():
    with pytest.raises(InputError, match="needs steps and restarts"):
        pgd_attack(
            Network(), torch.rand(1, 3, 8, 8), torch.zeros(1).long(), torch.ones(1),
            steps=0, random=torch.Generator(),
        )  # fmt: skip
