"""Accuracy on corrupted images: measured as Eq. 28 says, kept run by run, shown beside Table 4."""

import numpy as np
import pytest
import torch
from PIL import Image

from forward_stability import cli
from forward_stability.book import table_4
from forward_stability.experiments import evaluation
from forward_stability.experiments.config import Config
from forward_stability.experiments.data import scale
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import read_json
from forward_stability.experiments.training import train


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """A network trained for a moment on noise and ships."""
    monkeypatch.setenv("FORWARD_STABILITY_DATA", str(tmp_path / "root"))
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for label, low in (("plane", 0), ("ship", 60)):
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for i in range(20):
                pixels = random.integers(low, low + 160, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / label / f"{i:02d}.png")
    config = Config("S", 1, 2, f"imagefolder:{tmp_path / 'images'}", steps=100, batch_size=10)
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


def entry(variant: str, steps: int = 93_500, **levels: list[float]) -> dict:
    accuracy = {"clean": [0.8]}
    accuracy |= {f"σ = {s:g}": [0.5, 0.6, 0.7] for s in evaluation.SIGMAS}
    accuracy |= {f"ε = {e:g}": [0.25] * 4 for e in evaluation.EPSILONS}
    return {
        "variant": variant,
        "blocks": 3,
        "steps": steps,
        "data": "cifar10-jpeg",
        "test_images": 2000,
        "accuracy": accuracy | levels,
    }


def test_the_table_has_a_row_of_the_paper_and_one_of_ours():
    table = table_4.noise_table({"a": entry("D"), "b": entry("original")})
    d = table.sections["ResNet-D"]
    assert d[0] == ("m = 3\npaper", "88.02", "83.52", "50.55", "83.40", "41.24")
    assert d[1] == (
        "m = 3\nours, 93,500 steps, JPEG",
        "80.0",
        "60.0\n± 10.0",
        "60.0\n± 10.0",
        "25.0\n± 0.0",
        "25.0\n± 0.0",
    )
    assert [row[0] for row in d if row[1] == "not run"] == [f"m = {m}\nours" for m in (6, 9, 12)]
    assert table.sections["ResNet-S"][1][1] == "not run"
    (ours,) = table.sections["ResNet (not in the paper's table)"]
    assert ours[:2] == ("m = 3\nours, 93,500 steps, JPEG", "80.0")
    assert "2,000 test images of CIFAR-10, JPEG re-encoding" in table.note


def test_each_training_of_a_network_has_a_row_and_a_curve():
    entries = {
        "long": entry("S"),
        "short": entry("S", 5865, clean=[0.7]),
        "original": entry("S", 5865, clean=[0.6]) | {"data": "cifar10"},
        "fourth": entry("S", 1000, clean=[0.5]),
    }
    table = table_4.noise_table(entries)
    assert [row[:2] for row in table.sections["ResNet-S"][1:5]] == [
        ("m = 3\nours, 1,000 steps, JPEG", "50.0"),
        ("m = 3\nours, 5,865 steps", "60.0"),
        ("m = 3\nours, 5,865 steps, JPEG", "70.0"),
        ("m = 3\nours, 93,500 steps, JPEG", "80.0"),
    ]
    assert "2,000 test images of CIFAR-10 or CIFAR-10, JPEG re-encoding;" in table.note
    fig = table_4.curves(entries | {"d": entry("D")}, "cifar10")
    ours = [line for line in fig.axes[0].lines if line.get_marker() in list(table_4.MARKERS)]
    styles = [(line.get_marker(), line.get_linestyle()) for line in ours]
    assert sorted(styles) == [("D", "-."), ("^", "-"), ("o", "-."), ("s", "-."), ("s", "-.")]
    (legend,) = fig.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert {"ResNet-S, 5,865 steps", "ResNet-S, 93,500 steps, JPEG"} < set(labels)
    assert "ResNet-D, 93,500 steps, JPEG" in labels  # also where a network has one training
    (legend,) = table_4.curves({"d": entry("D")}, "cifar10").legends
    assert "ResNet-D" in [text.get_text() for text in legend.get_texts()]


def test_curves_show_every_level_and_the_paper():
    fig = table_4.curves({"a": entry("D")}, "cifar10")
    for ax, levels, printed in zip(
        fig.axes,
        ([0, *evaluation.SIGMAS], [0, *evaluation.EPSILONS]),
        ([88.02, 83.52, 50.55], [88.02, 83.40, 41.24]),
        strict=True,
    ):
        marked = [line for line in ax.lines if line.get_marker() in ("o", "x")]
        ours, theirs, _of_resnet_s = marked
        value = 60 if levels[1] == 0.01 else 25
        np.testing.assert_allclose(np.asarray(ours.get_xdata(), dtype=float), levels)
        np.testing.assert_allclose(
            np.asarray(ours.get_ydata(), dtype=float), [80] + [value] * (len(levels) - 1)
        )
        assert list(theirs.get_ydata()) == printed
