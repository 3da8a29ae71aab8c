"""Certified radii of a trained network beside an attack, as the command writes them."""

import torch

from forward_stability import cli
from forward_stability.experiments import runs, training
from forward_stability.experiments.storage import read_json
from forward_stability.experiments.training import train


def test_the_command_prints_and_writes_both_sides(wide, constrained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "load_dataset", lambda *_, **__: wide)
    monkeypatch.setattr(runs, "load_dataset", lambda *_, **__: wide)
    config = constrained.changed(variant="S", head="flattened", learning_rate=0.05, steps=40)
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
