"""Accuracy on corrupted images: measured as Eq. 28 says, kept run by run, shown beside Table 4."""

import pytest
import torch
from builders import write_pictures

from forward_stability import cli
from forward_stability.experiments import evaluation
from forward_stability.experiments.config import Config
from forward_stability.experiments.data import scale
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import read_json
from forward_stability.experiments.training import train


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
    assert found["x0"] == [20, 21, 22, 23]
    assert all(dataset.classes[int(labels[i])] == "ship" for i in found["x0"])
    for seed, value in enumerate(found["accuracy"]["σ = 0.1"]):
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
        assert value == accuracy(images + 0.1 * noise)
    expected = [accuracy(images + 0.75 * images[i]) for i in found["x0"]]
    assert found["accuracy"]["ε = 0.75"] == expected != [clean] * 4


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
