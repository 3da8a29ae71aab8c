"""Accuracy on corrupted images: measured as Eq. 28 says, kept run by run, shown beside Table 4."""

import hashlib
import shutil

import pytest
import torch
from builders import write_pictures

from forward_stability import cli
from forward_stability.errors import InputError
from forward_stability.experiments import evaluation
from forward_stability.experiments.config import Config
from forward_stability.experiments.data import scale
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import read_json
from forward_stability.experiments.training import train
from forward_stability.models import Network


@pytest.fixture
def run(tmp_path, root) -> Run:
    """A network trained for a moment on noise and ships."""
    images = write_pictures(tmp_path / "images", {"plane": 0, "ship": 60}, (20, 20), (8, 8))
    config = Config("S", 1, 2, images, steps=100, batch_size=10)
    return train(config, tmp_path / "tiny-S")


def test_accuracies_are_those_of_equation_28(run: Run):
    found = evaluation.measure(run)
    dataset, network = run.dataset(), run.network()
    images, labels = scale(dataset.test_images), dataset.test_labels

    def accuracy(x: torch.Tensor) -> float:
        with torch.no_grad():
            return float((network(x).argmax(1) == labels).double().mean())

    clean = accuracy(images)
    assert found["accuracy"]["clean"] == [clean]
    assert clean > 0.8
    ships = range(20, 30)
    assert all(dataset.classes[int(labels[i])] == "ship" for i in ships)
    assert found["x0"] == [evaluation.image_name(dataset.test_images[i]) for i in ships]
    assert len(set(found["x0"])) == 10
    assert found["seeds"] == [0, 1, 2]
    sigmas = ["σ = 0.01", "σ = 0.02", "σ = 0.035", "σ = 0.05", "σ = 0.1"]
    epsilons = ["ε = 0.1", "ε = 0.25", "ε = 0.5", "ε = 0.75"]
    assert list(found["accuracy"]) == ["clean", *sigmas, *epsilons]
    assert [len(v) for v in found["accuracy"].values()] == [1, *[3] * 5, *[10] * 4]
    assert (found["variant"], found["blocks"], found["steps"], found["seed"]) == ("S", 1, 100, 0)
    assert (found["data"], found["test_images"]) == ("images", 40)
    for seed, value in enumerate(found["accuracy"]["σ = 0.1"]):
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
        assert value == accuracy(images + 0.1 * noise)
    expected = [accuracy(images + 0.75 * images[i]) for i in ships]
    assert found["accuracy"]["ε = 0.75"] == expected != [clean] * 10


def test_the_command_keeps_what_is_there(run: Run, tmp_path, capsys):
    path = tmp_path / "noise.json"
    assert cli.main(["noise", str(run.folder), "--out", str(path)]) == 0
    first = read_json(path)
    assert list(first) == ["tiny-S"]
    other = tmp_path / "tiny-S-again"
    run.folder.rename(other)
    assert cli.main(["noise", str(other), "--out", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{path}: 2 networks"
    both = read_json(path)
    assert both["tiny-S"] == first["tiny-S"]
    assert both["tiny-S-again"]["accuracy"] == first["tiny-S"]["accuracy"]


def test_runs_whose_folders_have_one_name_have_entries_of_their_own(run: Run, tmp_path, capsys):
    path = tmp_path / "own" / "noise.json"
    path.parent.mkdir()
    for place in ("A/net", "own/B/net"):
        shutil.copytree(run.folder, tmp_path / place)
    folders = [str(tmp_path / "A/net"), str(tmp_path / "own/B/net"), str(tmp_path / "A/../A/net")]
    assert cli.main(["noise", *folders, "--out", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 2 networks\n"
    assert list(read_json(path)) == ["../A/net", "B/net"]


def test_a_file_that_holds_something_else_is_left_alone(run: Run, tmp_path):
    path = tmp_path / "noise.json"
    path.write_text("[]")
    with pytest.raises(InputError, match=r"noise\.json must hold a dict, not \[\]: restore it"):
        evaluation.update(path, [run])
    assert path.read_text() == "[]"


def test_every_third_image_and_the_first_class_where_there_are_no_ships(tmp_path, root):
    images = write_pictures(tmp_path / "images", {"cat": 0, "dog": 60}, (5, 5))
    run = train(Config("S", 1, 2, images, steps=2, batch_size=10), tmp_path / "run")
    found = evaluation.measure(run, step=3)
    names = [evaluation.image_name(image) for image in run.dataset().test_images[:5]]
    assert (found["test_images"], found["x0"]) == (4, names)
    scores = evaluation.predict(run.network(), run.dataset().test_images[::3])
    labels = run.dataset().test_labels[::3]
    assert found["accuracy"]["clean"] == [evaluation.accuracy(scores, labels)]
    with pytest.raises(InputError, match="step must be at least 1"):
        evaluation.measure(run, step=0)


def test_prediction_restores_the_mode_and_does_not_depend_on_the_batches():
    torch.manual_seed(0)
    network = Network("D", 1, 2, classes=3)
    images = torch.randint(256, (7, 3, 4, 4), dtype=torch.uint8)
    for training in (True, False):
        network.train(training)
        scores = evaluation.predict(network, images, lambda x: 1 - x, batch_size=3)
        assert network.training is training
        with torch.no_grad():
            expected = network.eval()(1 - scale(images))
        torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)
    assert evaluation.accuracy(torch.eye(3), torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("factor", [1e30, torch.nan])
def test_scores_that_are_not_finite_have_no_accuracy(factor):
    network = Network("S", 1, 2, classes=3, batch_norm=False)
    for parameter in network.parameters():
        parameter.data *= factor
    images = torch.randint(256, (7, 3, 4, 4), dtype=torch.uint8)
    with pytest.raises(InputError, match="a score is not finite"):
        evaluation.predict(network, images)


def test_without_a_path_the_file_of_the_book_is_read(tmp_path):
    assert evaluation.read() == read_json(results_root() / "noise.json")
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert evaluation.read(tmp_path / "x.json") == {"a": 1}


def test_an_image_has_the_same_name_wherever_it_lies():
    images = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 2, 2)
    named = hashlib.sha256(bytes(range(12, 24))).hexdigest()[:12]
    assert evaluation.image_name(images[1]) == named
    assert evaluation.image_name(images.flip(0)[0]) == named
    assert evaluation.image_name(images.to(memory_format=torch.channels_last)[1]) == named
