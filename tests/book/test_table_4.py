"""Accuracies on corrupted images beside Table 4."""

import numpy as np

from forward_stability.book import table_4
from forward_stability.experiments import evaluation


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


def test_trainings_with_several_seeds_are_one_row_and_one_curve():
    seeds = {"a": entry("S"), "b": entry("S", clean=[0.9]), "jpeg": entry("D")}
    (found,) = table_4.find(seeds, "S", 3, "cifar10")
    assert found["accuracy"]["clean"] == [0.8, 0.9]
    assert found["accuracy"]["σ = 0.02"] == [0.5, 0.6, 0.7] * 2
    row = table_4.noise_table(seeds).sections["ResNet-S"][1]
    assert row[:2] == ("m = 3\nours, 93,500 steps, JPEG, 2 trainings", "85.0\n± 7.1")
    fig = table_4.curves(seeds, "cifar10")
    ours = [line for line in fig.axes[0].lines if line.get_marker() in list(table_4.MARKERS)]
    assert len(ours) == 2
