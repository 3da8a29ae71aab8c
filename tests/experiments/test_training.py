"""The training of Sect. 4: its parts against plain references, and runs that survive anything."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import equal, stop_at, weights, write_pictures
from scipy import stats
from torch.nn.utils import parametrize

from forward_stability import operators
from forward_stability.certificates import certify
from forward_stability.constraint import plain_weights
from forward_stability.errors import InputError
from forward_stability.experiments import evaluation, training
from forward_stability.experiments.config import Beyond, Config
from forward_stability.experiments.data import from_tensors, load_dataset, scale
from forward_stability.experiments.runs import Run
from forward_stability.experiments.training import Trainer, margin_loss, score_scale, train
from forward_stability.folding import input_sizes
from forward_stability.graph import fold
from forward_stability.layers import Convolution, PeriodicConv2d, Pooling, ResidualD
from forward_stability.models import Network
from forward_stability.spectral import conv_norm, trained_weight

WIDE = (8, 16)

"""The height and width of the images of the fixture ``wide``."""

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def table_1(network, alpha):
    """The regulariser, as Table 1 prints it."""
    total = torch.zeros(())
    for layer in network.layers:
        factor = 0.5 if network.variant != "D" or isinstance(layer, ResidualD) else 1.0
        for name, p in layer.named_parameters():
            if name.endswith("weight") and p.dim() > 1:
                total = total + factor * alpha * p.square().sum()
    return total


@pytest.mark.parametrize("variant", ["D", "S", "original"])
def test_weight_decay_is_the_gradient_of_table_1(variant):
    torch.manual_seed(0)
    network = Network(variant, 2, width=3)
    gradients = torch.autograd.grad(
        table_1(network, 1e-4), list(network.parameters()), allow_unused=True
    )
    expected = dict(zip(map(id, network.parameters()), gradients, strict=True))
    seen = set()
    for group in training.parameter_groups(network, 1e-4):
        for p in group["params"]:
            seen.add(id(p))
            gradient = expected[id(p)]
            decay = group["weight_decay"] * p
            gradient = torch.zeros_like(p) if gradient is None else gradient
            torch.testing.assert_close(decay, gradient, rtol=1e-6, atol=0)  # float32
    assert seen == set(expected)


def test_learning_rate_of_one_cycle():
    """Up in a line, down along half a cosine, positive everywhere; its mean is a half."""
    config = Config().changed(steps=1000, learning_rate=0.5, schedule="one-cycle").resolved(10)
    assert config.decay_every is None
    rates = [training.learning_rate(config, step) for step in range(1000)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.5, rel=1e-4)
    assert top == pytest.approx(150, abs=1)
    assert min(rates) > 0
    rising, falling = np.diff(rates[:top]), np.diff(rates[top + 1 :])
    assert rising == pytest.approx(0.5 / (0.15 * 1001), rel=1e-9)
    assert (falling < 0).all()
    assert sum(rates) == pytest.approx(0.25 * 1001, rel=1e-5)
    assert rates[575] == pytest.approx(0.25, rel=2e-3)  # half way down
    assert rates[-1] < 1e-5


def test_learning_rate_of_the_paper():
    config = Config().resolved(50_000)
    assert (config.steps, config.decay_every) == (93_500, 32_000)
    rates = [training.learning_rate(config, s) for s in (0, 31_999, 32_000, 63_999, 64_000, 93_499)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rel=1e-12)


def test_each_epoch_goes_through_all_images_once(config):
    trainer = training.Trainer(config.resolved(10), load_dataset(config.dataset), "cpu")
    epochs = [torch.cat([trainer.batch(3 * e + s) for s in range(3)])[:, 0] for e in range(4)]
    assert [len(trainer.batch(s)) for s in range(3)] == [4, 4, 2]
    assert all(sorted(e.tolist()) == list(range(10)) for e in epochs)
    assert len({tuple(e.tolist()) for e in epochs}) == 4


def test_augmentation_is_uniform_and_flips_only_where_that_keeps_the_class(config):
    dataset = load_dataset(config.dataset)
    trainer = training.Trainer(config.resolved(10), dataset, "cpu")
    drawn = torch.cat([trainer.draw(epoch) for epoch in range(200)])
    for column, values in ((1, 9), (2, 9), (3, 2)):
        counts = torch.bincount(drawn[:, column], minlength=values)
        assert len(counts) == values
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    digits = training.Trainer(config.resolved(10), replace(dataset, flips=False), "cpu")
    assert not digits.draw(0)[:, 3].any()


def test_two_steps_are_those_of_momentum_with_projection(config, monkeypatch):
    """v ← βv + ∇(loss + R), w ← w − ηv, K2 ← max(K2, 0), written out."""
    monkeypatch.setattr(training, "augment", lambda images, *_: images)
    config = replace(config.resolved(10), alpha=0.05, learning_rate=0.3)
    dataset = load_dataset(config.dataset)
    trainer = training.Trainer(config, dataset, "cpu")
    reference = training.new_network(config, dataset)
    momenta = [torch.zeros_like(p) for p in reference.parameters()]
    for step in range(2):
        index = trainer.batch(step)[:, 0]
        images = scale(dataset.train_images[index])
        loss = F.cross_entropy(reference(images), dataset.train_labels[index])
        gradients = torch.autograd.grad(
            loss + table_1(reference, config.alpha), list(reference.parameters())
        )
        with torch.no_grad():
            for p, v, g in zip(reference.parameters(), momenta, gradients, strict=True):
                v.mul_(config.momentum).add_(g)
                p.sub_(config.learning_rate * v)
            clipped = 0
            for name, p in reference.named_parameters():
                if "conv2" in name:
                    clipped += (p < 0).sum().item()
                    p.clamp_(min=0)
        assert clipped > 0
        assert trainer.step(step).item() == pytest.approx(loss.item(), rel=1e-6)
        for a, b in zip(trainer.network.parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)  # float32, other order of sums


def common_step(network, optimiser, rate, images, labels):
    """A training step as most people would write it: circular ``F.pad``, no layout of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operators, "periodic_pad", lambda x, p: F.pad(x, (p,) * 4, mode="circular"))
        loss = F.cross_entropy(network(images), labels)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    training.project_(network)
    return loss.item()


@pytest.mark.parametrize(
    ("device", "compiled"),
    [
        ("cpu", False),
        pytest.param("cuda", False, marks=NEEDS_GPU),
        pytest.param("cuda", True, marks=NEEDS_GPU),
    ],
)
@pytest.mark.parametrize("variant", ["D", "S", "original"])
def test_the_fast_loop_takes_the_steps_of_the_common_one(
    config, variant, device, compiled, monkeypatch
):
    """Same images, same losses to rounding, over ten steps with batches of two sizes."""
    monkeypatch.setattr(training, "COMPILE_FROM", 0 if compiled else 10**9)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    config = replace(config, variant=variant, width=4, learning_rate=0.05).resolved(10)
    dataset = load_dataset(config.dataset)
    trainer = training.Trainer(config, dataset, device)
    network = training.new_network(config, dataset)
    optimiser = torch.optim.SGD(training.parameter_groups(network, config.alpha), 0.05, 0.9)
    for step in range(10):
        index, i, j, flip = trainer.batch(step).cpu().T
        padded = F.pad(scale(dataset.train_images[index]) - dataset.mean, (4, 4, 4, 4))
        padded = padded + dataset.mean  # zeros after the mean is subtracted: He et al.
        crops = [x[:, a : a + 6, b : b + 7] for x, a, b in zip(padded, i, j, strict=True)]
        images = [x.flip(-1) if f else x for x, f in zip(crops, flip, strict=True)]
        rate = training.learning_rate(config, step)
        labels = dataset.train_labels[index]
        common = common_step(network, optimiser, rate, torch.stack(images), labels)
        assert trainer.step(step).item() == pytest.approx(common, rel=1e-4)  # float32, ten steps


def test_bfloat16_stays_near_float32_with_its_weights_in_float32(config):
    """Three digits: the loss of one step within 2 %, and a state that resumes like any other."""
    dataset = load_dataset(config.dataset)
    losses = {}
    for precision in ("float32", "bfloat16"):
        plain = replace(config, precision=precision, width=8).resolved(10)
        trainer = training.Trainer(plain, dataset, "cpu")
        losses[precision] = trainer.step(0).item()
        assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}
    assert losses["float32"] != losses["bfloat16"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


def test_K2_is_nonnegative_after_every_step(config):
    trainer = training.Trainer(
        replace(config, learning_rate=1.0).resolved(10), load_dataset(config.dataset), "cpu"
    )
    for step in range(6):
        trainer.step(step)
        layers = [la for la in trainer.network.layers if isinstance(la, ResidualD)]
        assert layers
        assert all((la.conv2.weight >= 0).all() for la in layers)


def test_a_run_folder_holds_everything(config, tmp_path):
    run = training.train(config, tmp_path / "run")
    assert sorted(p.name for p in run.folder.iterdir()) == [
        "config.json",
        "history.jsonl",
        "run.json",
        "weights.safetensors",
    ]
    assert [e["step"] for e in run.history] == [5, 10, 12]
    assert run.config.steps == 12
    assert run.info["result"]["test_accuracy"] == run.history[-1]["test_accuracy"]
    assert run.info["environment"].keys() >= {"commit", "hardware", "torch", "python"}
    dataset = load_dataset(config.dataset)
    scores = evaluation.predict(run.network(), dataset.test_images, batch_size=4)
    assert evaluation.accuracy(scores, dataset.test_labels) == run.history[-1]["test_accuracy"]


def test_same_seed_same_weights_other_seed_other_weights(config, tmp_path):
    one, two, other = (
        weights(training.train(replace(config, seed=s), tmp_path / n))
        for s, n in ((0, "one"), (0, "two"), (1, "other"))
    )
    assert equal(one, two)
    assert not equal(one, other)


@pytest.mark.parametrize("step", [3, 5, 7, 11])
def test_a_stopped_run_ends_with_the_same_weights(config, tmp_path, monkeypatch, step):
    whole = training.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, tmp_path / "stopped")
    assert not Run(tmp_path / "stopped").done
    resumed = training.train(config, tmp_path / "stopped")
    assert equal(weights(whole), weights(resumed))
    strip = lambda h: [{k: v for k, v in e.items() if k != "seconds"} for e in h]  # noqa: E731
    assert strip(whole.history) == strip(resumed.history)


@pytest.mark.slow
def test_a_run_killed_at_any_write_ends_with_the_same_weights():
    """With SIGKILL, once at each of the files that a run of four steps writes."""
    script = Path(__file__).parents[2] / "tools" / "kill_and_resume.py"
    command = [sys.executable, str(script), "--writes", "--steps", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("7 kills, 7 identical resumes\n")


def test_divergence_is_said(config, tmp_path, monkeypatch):
    monkeypatch.setattr(training.Trainer, "step", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(InputError, match=r"diverged before step 5 .* lower the learning rate"):
        training.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()  # there is nothing to go on from
    monkeypatch.undo()


@pytest.mark.parametrize("variant", ["D", "S", "original"])
def test_a_state_that_is_not_finite_is_divergence(config, tmp_path, variant):
    """The loss of the last step is computed before its weights: it may still be finite."""
    config = replace(config, variant=variant, learning_rate=1e38, steps=2)
    with pytest.raises(InputError, match=r"diverged before step 2|not finite"):
        training.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_running_variance_that_is_not_finite_is_divergence(config, tmp_path, monkeypatch):
    step = training.Trainer.step

    def overflow(self, number):
        loss = step(self, number)
        if number == 7:
            self.network.state_dict()["layers.1.bn1.running_var"][0] = torch.inf
        return loss

    monkeypatch.setattr(training.Trainer, "step", overflow)
    with pytest.raises(InputError, match="diverged before step 10 "):
        training.train(config, tmp_path / "run")
    assert len(Run(tmp_path / "run").checkpoints) == 1  # from before, with its history


def test_a_trainer_resolves_its_configuration():
    """One pass over the images, however many steps the paper takes."""
    trainer = Trainer(Config(epochs=1), load_dataset("digits"), "cpu")
    assert trainer.config.steps == trainer.batches == 12


def own_tensors() -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    images = torch.randint(256, (12, 2, 8, 8), dtype=torch.uint8)
    labels = torch.arange(12) % 3
    return (images[:9], labels[:9]), (images[9:], labels[9:])


def test_tensors_of_ones_own_are_trained_on(tmp_path):
    dataset = from_tensors(*own_tensors(), name="mine")
    config = Config(variant="S", blocks=1, width=2, steps=3, batch_size=4, evaluate_every=3)
    run = train(config, tmp_path / "run", dataset=dataset, device="cpu")
    assert run.done
    assert (run.config.dataset, len(dataset.classes)) == ("mine", 3)
    network = run.network()
    assert network(torch.rand(2, 2, 8, 8)).shape == (2, 3)
    changed = from_tensors(*own_tensors()[::-1], name="mine")
    with pytest.raises(InputError, match="holds a run of another data"):
        train(config, tmp_path / "run", dataset=changed, device="cpu")
    with pytest.raises(InputError, match="unknown data set 'mine'"):
        train(run.config, tmp_path / "other", device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: ((a[0] / 255, a[1]), b), r"train images must be uint8 .* got torch.float32"),
        (lambda a, b: ((a[0][0], a[1]), b), "train images must be uint8 of shape"),
        (lambda a, b: ((a[0][:0], a[1][:0]), b), "train images must be uint8 of shape"),
        (lambda a, b: (a, (b[0], b[1].int())), "test labels must be int64"),
        (lambda a, b: (a, (b[0], b[1][:2])), r"test labels must be int64 of shape \(3,\)"),
        (lambda a, b: (a, (b[0], b[1] + 1)), r"test labels must be in 0, …, 2"),
        (lambda a, b: ((a[0], a[1] - 1), b), r"train labels must be in 0, …, 1"),
        (lambda a, b: (a, (b[0][..., :7], b[1])), r"shape \(2, 8, 8\) of the others"),
    ],
)
def test_tensors_that_do_not_fit_are_said(change, message):
    with pytest.raises(InputError, match=message):
        from_tensors(*change(*own_tensors()))


def test_the_name_of_another_data_set_is_refused():
    for name in ("digits", "cifar10", "imagefolder:x"):
        with pytest.raises(InputError, match="is the name of another data set"):
            from_tensors(*own_tensors(), name=name)


def norms(network):
    """Every operator norm of a network, exactly, with its limit."""
    for layer, entry in zip(network.layers, input_sizes(fold(network), WIDE), strict=True):
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
        {"variant": "S", "pooling": "unshuffling", "pooling_bound": 0.5, "lift": 1.0},
        {"variant": "S", "layers": "maxmin", "initialisation": "isometry"},
        {"variant": "D", "head": "flattened", "initialisation": "identity", "images": "halved"},
    ],
)
def test_the_hypotheses_hold_at_every_step(wide, constrained, options, precision):
    """In float64, without any tolerance; large steps leave the balls all the time."""
    config = constrained.changed(precision=precision, **options).resolved(10)
    trainer, outside = Trainer(config, wide, "cpu"), 0
    for module in trainer.network.modules():
        if parametrize.is_parametrized(module, "weight"):
            trained_weight(module).data.mul_(3)
    for step in range(config.steps):
        for norm, limit in norms(trainer.network):
            assert norm <= limit
        if options["variant"] == "D":
            assert all(f.K2.min() >= 0 for f in fold(trainer.network) if hasattr(f, "K2"))
        assert certify(trainer.network, WIDE).hypotheses_hold
        trainer.step(step)
        for module in trainer.network.modules():
            if parametrize.is_parametrized(module, "weight"):
                ball = module.parametrizations.weight
                outside += not torch.equal(ball.original, module.weight)
    assert outside >= config.steps


def test_what_is_stored_is_plain_and_satisfies_the_hypotheses(
    wide, constrained, tmp_path, monkeypatch
):
    monkeypatch.setattr(training, "load_dataset", lambda *_, **__: wide)
    run = train(constrained.changed(variant="S", head="flattened"), tmp_path / "run", device="cpu")
    network = Run(run.folder).network()
    assert not any(parametrize.is_parametrized(m) for m in network.modules())
    assert all(norm <= limit for norm, limit in norms(network))
    assert certify(network, WIDE).hypotheses_hold
    paper = Run.create(tmp_path / "paper", replace(constrained, beyond=Beyond()), wide, "cpu")
    (run.folder / "weights.safetensors").rename(paper.folder / "weights.safetensors")
    with pytest.raises(InputError, match=r"belongs to another network.*'batch_norm': False"):
        paper.network()


def test_the_stored_network_is_the_trained_one(wide, constrained):
    trainer = Trainer(replace(constrained, variant="S").resolved(10), wide, "cpu")
    trainer.step(0)
    plain = Network("S", 2, 4, classes=3, batch_norm=False)
    plain.load_state_dict(plain_weights(trainer.network))
    plain = plain.to(memory_format=torch.channels_last)  # as in training, or sums round differently
    x = torch.rand(4, 3, *WIDE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain(x), trainer.network(x))


def test_the_loss_is_that_of_scores_in_units_of_the_constant(wide, constrained):
    config = replace(constrained, variant="S").resolved(10)
    network = Trainer(config, wide, "cpu").network
    assert score_scale(config, network, WIDE) == pytest.approx(0.8**2 / sqrt(8), rel=1e-12)
    assert score_scale(Config(), Network(), WIDE) == 1.0


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


def test_random_numbers_depend_on_seed_purpose_and_index_as_they_always_did():
    """Seeds are the first 14 hexadecimal digits of a SHA-256; stored runs were drawn with them."""
    for arguments in ((0, "epoch", 0), (7, "attack", 3)):
        text = "/".join(map(str, arguments))
        seed = int(hashlib.sha256(text.encode()).hexdigest()[:14], 16)
        assert training.generator(*arguments).initial_seed() == seed


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (4, 4), (2, 5)])
@pytest.mark.parametrize("variant", ["D", "S", "original"])
def test_images_of_the_smallest_sizes(variant, size, tmp_path, root):
    name = write_pictures(tmp_path / "images", {"a": 0, "b": 0}, (5, 3), size)
    config = Config(variant, 1, 2, name, steps=4, batch_size=4)
    assert training.train(config, tmp_path / "run").done


@pytest.mark.parametrize(
    ("size", "options", "fits"),
    [
        ((4, 4), {"batch_size": 9}, False),
        ((4, 4), {"batch_size": 3}, False),
        ((1, 3), {"batch_size": 1}, False),
        ((4, 4), {"batch_size": 4}, True),
        ((4, 5), {"batch_size": 3}, True),
        ((4, 4), {"batch_size": 3, "constraint": "theorem"}, True),
        ((8, 8), {"batch_size": 3, "images": "halved"}, False),
        ((8, 9), {"batch_size": 3, "images": "halved"}, True),
    ],
)
def test_a_mini_batch_without_a_variance_is_refused_before_a_folder_is_made(
    size, options, fits, tmp_path, root
):
    name = write_pictures(tmp_path / "images", {"a": 0, "b": 0}, (5, 3), size)
    config = Config("S", 1, 2, name, steps=4).changed(**options)
    if fits:
        assert training.train(config, tmp_path / "run").done
    else:
        with pytest.raises(InputError, match=r"batch_size \d leaves a mini-batch of one of the 10"):
            training.train(config, tmp_path / "run")
        assert not (tmp_path / "run").exists()
