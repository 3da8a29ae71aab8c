"""The exported file holds the network: its rounding, its constants, and what cannot be exported."""

import json
import shutil
from importlib import resources

import pytest
import torch
from safetensors import safe_open

from forward_stability import cli
from forward_stability.book.export import export_network, export_run
from forward_stability.errors import InputError
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.noise import seeded_normal
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import Run
from forward_stability.folding import features
from forward_stability.graph import fold
from forward_stability.models import Network

RUNS = ["digits-D-m3-seed0", "digits-S-m3-seed0"]


@pytest.mark.parametrize(("bits", "levels"), [(8, 127), (16, 32767)])
def test_a_stored_weight_is_off_by_half_a_level_at_most(bits, levels):
    network = Network("S", 2, width=3)
    exported = export_network(network, (8, 8), list("abcdefghij"), bits)
    for exact, stored in zip(fold(network), exported.layers, strict=True):
        for name in ("K", "K1", "K2", "W"):
            if (filter_ := vars(exact).get(name)) is None:
                continue
            rows, error = filter_.flatten(1), (vars(stored)[name] - filter_).flatten(1)
            largest = rows.abs().amax(dim=1, keepdim=True)
            # 1.001: the scale is rounded to float32
            assert bool((error.abs() <= 1.001 * largest / (2 * levels)).all())
            assert (error.abs() * 2 * levels / largest).max() > 0.9


@pytest.mark.parametrize("variant", ["D", "S", "original"])
def test_weights_and_code_of_a_network_take_less_than_a_megabyte(variant):
    exported = export_network(Network(variant), (32, 32), list("abcdefghij"))
    scripts = [f for f in resources.files("forward_stability.book.live").iterdir() if f.is_file()]
    code = sum(len(file.read_bytes()) for file in scripts)
    assert len(exported.to_bytes()) + code < 1_000_000


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", RUNS)
class TestTrained:
    def test_distances_obey_the_constants(self, name, bits):
        """Also for a random direction, where they are far from tight."""
        exported = export_run(Run(name), bits)
        images = scale(load_dataset("digits").test_images[:20]).double()
        moved = images + 0.1 * seeded_normal(images.shape, 0)
        x, y = features(exported.layers, images), features(exported.layers, moved)
        start = (moved - images).flatten(1).norm(dim=1)
        for stage in exported.header["stages"]:
            n = stage["layer"]
            end = (x[n] - y[n]).flatten(1).norm(dim=1)
            assert bool((end <= stage["bound"] * start).all())

    def test_answers_are_those_of_the_network(self, name, bits):
        run, exported = Run(name), export_run(Run(name), bits)
        images = scale(load_dataset("digits").test_images[::6])
        with torch.no_grad():
            exact = run.network()(images).double()
        found = features(exported.layers, images.double() - exported.tensors["mean"])[-1]
        assert torch.equal(found.argmax(dim=1), exact.argmax(dim=1))

    def test_stages_end_where_the_resolution_changes(self, name, bits):
        exported = export_run(Run(name), bits)
        x = features(exported.layers, torch.zeros(1, 1, 32, 32, dtype=torch.float64))
        sizes = [tuple(x[s["layer"]].shape[1:]) for s in exported.header["stages"]]
        assert sizes == [(16, 32, 32), (32, 16, 16), (64, 8, 8), (10,)]


def test_the_command_writes_a_safetensors_file(tmp_path, capsys):
    path = tmp_path / "network.safetensors"
    assert cli.main(["export", RUNS[0], "--out", str(path)]) == 0
    assert f"ResNet-D, m = 3, {path.stat().st_size:,} bytes" in capsys.readouterr().out
    exported = export_run(Run(RUNS[0]))
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["metadata"]) == exported.header
        for name, tensor in exported.tensors.items():
            assert torch.equal(file.get_tensor(name), tensor)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "weights.safetensors is missing: train it"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "damaged"),
        (lambda path: path.with_name("run.json").write_text("{"), "not valid JSON"),
    ],
    ids=["unfinished", "cut short", "no JSON"],
)
def test_a_run_that_cannot_be_exported(tmp_path, capsys, damage, message):
    folder = tmp_path / "run"
    shutil.copytree(results_root() / RUNS[0], folder)
    damage(folder / "weights.safetensors")
    assert cli.main(["export", str(folder), "--out", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_weights_that_are_no_numbers_are_refused():
    network = Network("D", 1, width=2).double()
    network.layers[1].state_dict()["bn1.bias"][0] = 1e300  # they are stored as float32
    with pytest.raises(InputError, match="layer 1 has weights that are no numbers"):
        export_network(network, (4, 4), list("abcdefghij"))
