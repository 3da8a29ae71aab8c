"""The training of Sect. 4: its parts against plain references, and runs that survive anything."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import stats

from forward_stability import operators
from forward_stability.errors import InputError
from forward_stability.experiments import evaluation, training
from forward_stability.experiments.config import Config
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import load_tensors, save_tensors
from forward_stability.layers import ResidualD
from forward_stability.models import Network

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CONFIG = Config(variant="D", blocks=1, width=2, steps=12, batch_size=4, evaluate_every=5)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration on ten coloured images of two classes."""
    monkeypatch.setenv("FORWARD_STABILITY_DATA", str(tmp_path / "root"))
    random = np.random.default_rng(0)
    for split, n in (("train", 5), ("test", 3)):
        for label in ("a", "b"):
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for i in range(n):
                pixels = random.integers(0, 256, (6, 7, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / label / f"{i}.png")
    return replace(CONFIG, dataset=f"imagefolder:{tmp_path / 'images'}")


def weights(run):
    return load_tensors(run.folder / "weights.safetensors", "")[0]


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def stop_at(monkeypatch, step):
    """Let training be interrupted before a step, as by Ctrl-C."""
    original = training.Trainer.step

    def interrupted(self, number):
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    monkeypatch.setattr(training.Trainer, "step", interrupted)


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


def test_learning_rate_of_the_paper():
    config = Config().resolved(50_000)
    assert (config.steps, config.decay_every) == (93_500, 32_000)
    rates = [training.learning_rate(config, s) for s in (0, 31_999, 32_000, 63_999, 64_000, 93_499)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rel=1e-12)


def test_epochs_are_counted_in_steps_and_the_decay_scales():
    config = Config(epochs=2).resolved(50_000)
    assert config.steps == 2 * 391  # 391 steps an epoch, as the paper says
    assert config.decay_every == round(782 * 32_000 / 93_500)
    assert Config(steps=1).resolved(5).decay_every == 1


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


def test_a_killed_run_ends_with_the_same_weights():
    """Three kills with SIGKILL at random moments; the script makes fifty by default."""
    script = Path(__file__).parents[2] / "tools" / "kill_and_resume.py"
    command = [sys.executable, str(script), "--kills", "3", "--steps", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("3 kills, 3 identical resumes\n")


@pytest.fixture
def stopped(config, tmp_path, monkeypatch):
    """A run stopped after its first checkpoint."""
    with monkeypatch.context() as patch:
        stop_at(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, tmp_path / "stopped")
    return tmp_path / "stopped"


def refused(config, folder, message):
    """Training refuses, and leaves every file as it was."""
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(InputError, match=message):
        training.train(config, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def foreign(path):
    """The checkpoint as it were if the seed had been another one."""
    tensors, metadata = load_tensors(path, "")
    save_tensors(path, tensors, metadata | {"config": metadata["config"] | {"seed": 7}})


def without_architecture(path):
    tensors, metadata = load_tensors(path, "")
    save_tensors(path, tensors, metadata | {"architecture": {"variant": "S"}})


DAMAGES = [
    (cut, "is damaged or no file of ours"),
    (flip, "was altered: SHA-256"),
    (foreign, "is of another configuration: .*'seed': 7"),
    (without_architecture, "belongs to another network: .*'variant': 'S'"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_checkpoint_is_refused_if_there_is_no_other(config, stopped, damage, message):
    damage(stopped / "checkpoint-00000005.safetensors")
    refused(config, stopped, f"{message}.*: delete it to start again")


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_after_a_damaged_checkpoint_training_goes_on_from_the_one_before(
    config, tmp_path, monkeypatch, damage, message
):
    config = replace(config, evaluate_every=2)
    whole = training.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 9)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, tmp_path / "stopped")
    run = Run(tmp_path / "stopped")
    names = ["checkpoint-00000008.safetensors", "checkpoint-00000006.safetensors"]
    assert [path.name for path in run.checkpoints] == names
    damage(run.checkpoints[0])
    with pytest.warns(UserWarning, match=f"00000008.*{message}.*; going on from step 6 instead"):
        resumed = training.train(config, tmp_path / "stopped")
    assert equal(weights(whole), weights(resumed))
    assert not run.checkpoints


def test_another_configuration_in_the_same_folder_is_refused(config, stopped):
    refused(replace(config, seed=7), stopped, "another configuration: seed is 0, not 7")


def test_other_data_in_the_same_folder_is_refused(config, stopped, tmp_path):
    Image.new("RGB", (7, 6)).save(tmp_path / "images" / "train" / "a" / "0.png")
    refused(config, stopped, "another data: fingerprint is")


def test_a_folder_with_something_else_is_refused(config, tmp_path):
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("do not overwrite")
    refused(config, folder, "is no run folder")


def test_what_a_process_left_that_was_killed_at_the_very_start_is_no_obstacle(config, tmp_path):
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "run.json").write_text("{}")  # written before config.json
    (folder / ".config.json.4711.tmp").write_text("{")
    assert training.train(config, folder).done


def test_divergence_is_said(config, tmp_path, monkeypatch):
    monkeypatch.setattr(training.Trainer, "step", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(InputError, match=r"diverged before step 5 .* lower the learning rate"):
        training.train(config, tmp_path / "run")


def test_weights_of_another_network_are_refused(config, tmp_path):
    run = training.train(config, tmp_path / "one")
    other = training.train(replace(config, blocks=2), tmp_path / "two")
    content = (other.folder / "weights.safetensors").read_bytes()
    (run.folder / "weights.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="belongs to another network"):
        run.network()


def test_a_run_without_weights_says_how_to_train_it(stopped):
    with pytest.raises(InputError, match=r"weights\.safetensors is missing: train it with"):
        Run(stopped).network()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"variant": "R"}, "unknown variant 'R'"),
        ({"blocks": 0}, "blocks must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"precision": "float16"}, "unknown precision 'float16': choose one of float32, bfloat16"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"alpha": -1.0}, "alpha must be at least 0"),
        ({"seed": "0"}, "seed must be of type int, got '0'"),
        ({"blocks": True}, "blocks must be of type int, got True"),
        ({"momentum": None}, "momentum must be of type float, got None"),
    ],
)
def test_impossible_configurations_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Config(**values)


def test_a_configuration_with_unknown_entries_is_refused(stopped, config):
    path = stopped / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dropout": 0.1}))
    refused(config, stopped, "unknown entries in the configuration: dropout")


def test_a_gpu_that_is_not_there_is_said():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="finds no GPU"):
        training.choose_device("cuda")
    assert training.choose_device("auto") == "cpu"
