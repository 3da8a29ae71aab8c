"""Networks for which the hypotheses hold: at the start, at every step, and as they are stored."""

from dataclasses import replace
from math import exp, log, sqrt

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from forward_stability.certificates import certify
from forward_stability.constraint import constrain, initialise_, plain_weights, sensitivity
from forward_stability.errors import InputError
from forward_stability.experiments import training
from forward_stability.experiments.config import Beyond, Config
from forward_stability.experiments.data import Dataset
from forward_stability.experiments.runs import Run
from forward_stability.experiments.training import Trainer, margin_loss, score_scale, train
from forward_stability.folding import fold, forward, input_sizes
from forward_stability.layers import Convolution, PeriodicConv2d, Pooling, ResidualS
from forward_stability.models import Network
from forward_stability.operators import conv_matrix
from forward_stability.spectral import conv_norm

SIZE = (8, 16)
CONFIG = Config(
    blocks=2, width=4, batch_size=5, steps=8, learning_rate=1.0, evaluate_every=4,
    beyond=Beyond(constraint="theorem", pooling_bound=0.3, temperature=0.1),
)  # fmt: skip


@pytest.fixture
def dataset():
    random = torch.Generator().manual_seed(0)

    def images(n):
        return torch.randint(256, (n, 3, *SIZE), generator=random, dtype=torch.uint8)

    labels = torch.arange(10) % 3
    x, y = images(10), images(10)
    return Dataset("noise", ("a", "b", "c"), x, labels, y, labels, flips=True, fingerprint="0")


def norms(network):
    """Every operator norm of a network, exactly, with its limit."""
    for layer, entry in zip(network.layers, input_sizes(fold(network), SIZE), strict=True):
        kind = type(layer)
        for module in layer.modules():
            if isinstance(module, PeriodicConv2d):
                limit = {Convolution: 1.0, Pooling: 0.3}.get(kind, sqrt(2))
                stride = 2 if kind is Pooling else 1
                yield float(conv_norm(module.weight.detach(), entry, stride)), limit
    W = network.layers[-1].weight.detach().double()
    yield float(torch.linalg.matrix_norm(W, 2)), 1.0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        {"variant": "D"},
        {"variant": "S"},
        {"variant": "S", "head": "flattened", "outer": "none", "initialisation": "isometry"},
        {"variant": "D", "head": "flattened", "initialisation": "identity", "images": "halved"},
    ],
)
def test_the_hypotheses_hold_at_every_step(dataset, options, precision):
    """In float64, without any tolerance; large steps leave the balls all the time."""
    config = CONFIG.changed(precision=precision, **options).resolved(10)
    trainer, outside = Trainer(config, dataset, "cpu"), 0
    for step in range(config.steps):
        for norm, limit in norms(trainer.network):
            assert norm <= limit
        if options["variant"] == "D":
            assert all(f.K2.min() >= 0 for f in fold(trainer.network) if hasattr(f, "K2"))
        assert certify(trainer.network, SIZE).hypotheses_hold
        trainer.step(step)
        for module in trainer.network.modules():
            if parametrize.is_parametrized(module, "weight"):
                ball = module.parametrizations.weight
                outside += not torch.equal(ball.original, module.weight)
    assert outside >= config.steps


def test_what_is_stored_is_plain_and_satisfies_the_hypotheses(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "load_dataset", lambda *_, **__: dataset)
    run = train(CONFIG.changed(variant="S", head="flattened"), tmp_path / "run", device="cpu")
    network = Run(run.folder).network()
    assert not any(parametrize.is_parametrized(m) for m in network.modules())
    assert all(norm <= limit for norm, limit in norms(network))
    assert certify(network, SIZE).hypotheses_hold
    paper = Run.create(tmp_path / "paper", replace(CONFIG, beyond=Beyond()), dataset, "cpu")
    (run.folder / "weights.safetensors").rename(paper.folder / "weights.safetensors")
    with pytest.raises(InputError, match=r"belongs to another network.*'batch_norm': False"):
        paper.network()


def test_the_stored_network_is_the_trained_one(dataset):
    trainer = Trainer(replace(CONFIG, variant="S").resolved(10), dataset, "cpu")
    trainer.step(0)
    plain = Network("S", 2, 4, classes=3, batch_norm=False)
    plain.load_state_dict(plain_weights(trainer.network))
    plain = plain.to(memory_format=torch.channels_last)  # as in training, or sums round differently
    x = torch.rand(4, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain(x), trainer.network(x))


def test_the_network_of_the_paper_is_what_it_was():
    """No option of this chapter is part of it, and its weights are marked as before."""
    assert Config().architecture((3, 32, 32), 10) == {
        "variant": "D", "blocks": 3, "width": 16, "channels": 3, "classes": 10,
    }  # fmt: skip
    assert not any(parametrize.is_parametrized(m) for m in Network().modules())


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


@torch.no_grad()
def test_identity_starts_close_to_the_identity():
    torch.manual_seed(2)
    network = Network("D", 1, 4, batch_norm=False)
    initialise_(network, SIZE, "identity")
    x = torch.rand(8, 4, *SIZE)
    assert float((network.layers[1](x) - x).norm()) < 0.1 * float(x.norm())


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


@pytest.mark.parametrize("outer_relu", [True, False])
@torch.no_grad()
def test_folding_changes_nothing(outer_relu):
    torch.manual_seed(4)
    network = Network("S", 2, 2, batch_norm=False, outer_relu=outer_relu, flatten=SIZE).double()
    for parameter in network.parameters():
        parameter.copy_(0.3 * torch.randn_like(parameter))
    x = torch.rand(3, 3, *SIZE).double()
    torch.testing.assert_close(forward(fold(network), network.centred(x)), network(x))


def test_the_loss_is_that_of_scores_in_units_of_the_constant(dataset):
    config = replace(CONFIG, variant="S").resolved(10)
    network = Trainer(config, dataset, "cpu").network
    assert score_scale(config, network, SIZE) == pytest.approx(0.8**2 / sqrt(8), rel=1e-12)
    assert score_scale(Config(), Network(), SIZE) == 1.0


def test_the_margin_loss_against_its_formula():
    """One image, three classes; and far inside the margin, the loss is the missing distance."""
    y, label = torch.tensor([[0.3, -0.2, 0.7]], dtype=torch.float64), torch.tensor([0])
    T, margin = 0.25, 0.6
    moved = [(0.3 - sqrt(2) * margin) / T, -0.2 / T, 0.7 / T]
    expected = log(sum(exp(v) for v in moved)) - moved[0]
    assert float(margin_loss(y, label, T, margin)) == pytest.approx(expected, rel=1e-14)
    plain = torch.nn.functional.cross_entropy(y, label)
    assert torch.equal(margin_loss(y, label, 1.0, 0.0), plain)
    sharp = 1e-3 * float(margin_loss(y, label, 1e-3, margin))
    assert sharp == pytest.approx(0.7 - (0.3 - sqrt(2) * margin), abs=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraint": "theorems"}, "unknown constraint 'theorems': choose one of none, theorem"),
        ({"head": "flat"}, "unknown head"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"pooling_bound": -1.0}, "pooling_bound must be positive"),
        ({"margin": float("inf")}, "margin must be at least 0 and finite"),
        ({"initialisation": "isometry"}, "isometry has no effect without constraint theorem"),
        ({"pooling_bound": 0.1}, r"pooling_bound 0\.1 has no effect without constraint theorem"),
        (
            {"initialisation": "isometry", "constraint": "theorem"},
            "initialisation isometry is for variant S only",
        ),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Config.from_dict(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "original", "batch_norm": False}, "with batch normalisation only"),
        ({"variant": "D", "outer_relu": False}, "variant S only"),
    ],
)
def test_networks_that_are_not_there_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Network(**options)
