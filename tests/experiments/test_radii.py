"""Certified radii of a trained network beside an attack, as the command writes them."""

from dataclasses import replace

import torch

from forward_stability import cli
from forward_stability.experiments import radii, runs, training
from forward_stability.experiments.data import scale
from forward_stability.experiments.storage import read_json
from forward_stability.experiments.training import train
from forward_stability.radius import certifier


def test_the_command_prints_and_writes_both_sides(wide, constrained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "load_dataset", lambda *_, **__: wide)
    monkeypatch.setattr(runs, "load_dataset", lambda *_, **__: wide)
    config = constrained.changed(variant="S", head="flattened", learning_rate=0.05, steps=40)
    train(config, tmp_path / "run", device="cpu")
    command = ["radii", str(tmp_path / "run"), "--images", "8", "--steps", "5", "--restarts", "2"]
    command += ["--out", str(tmp_path / "radii.json")]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert out.startswith("ResNet-S, m = 2: the hypotheses hold; constant")
    assert "36/255" in out
    entry = read_json(tmp_path / "radii.json")
    found = entry["attack"]
    assert found["inside_certified_radius"]["successes"] == 0
    assert found["inside_certified_radius"]["attacked"] > 0
    attacked = found["inside_certified_radius"]["attacked"]
    assert entry["search"] == {"steps": 10, "attacked": attacked, "successes": 0}
    assert f"0 of {attacked} attacks by gradients succeeded (5 steps, 2 restarts)" in out
    assert f"0 of {attacked} by random search (10 steps)" in out
    assert entry["clean"] >= entry["certified"][0] >= entry["certified"][2]
    curve = entry["curve"]
    assert curve["certified"] == sorted(curve["certified"], reverse=True)
    for certified, attacked in zip(found["certified"], found["accuracy"], strict=True):
        assert certified <= attacked <= found["clean"]
    assert entry["environment"]["torch"] == torch.__version__
    assert not entry["multipliers"]
    assert not entry["chained"]
    least = entry["constant"]
    for effort in ("--multipliers", "--chained"):
        command = ["radii", str(tmp_path / "run"), "--images", "1", "--steps", "1", effort]
        assert cli.main([*command, "--out", str(tmp_path / "radii.json")]) == 0
        sharper = read_json(tmp_path / "radii.json")
        assert sharper[effort.removeprefix("--")]
        assert sharper["constant"] <= least
        out = str(tmp_path / "constants.json")
        assert cli.main(["certify", str(tmp_path / "run"), effort, "--out", out]) == 0
        least = sharper["constant"]
    assert least < 0.999 * entry["constant"]


def test_what_is_attacked_and_counted(wide, constrained, tmp_path, monkeypatch):
    """Attacks are replaced by one that changes nothing: its arguments say what is asked of it."""
    monkeypatch.setattr(training, "load_dataset", lambda *_, **__: wide)
    run = train(constrained.changed(variant="S", steps=4), tmp_path / "run", device="cpu")
    network, images, labels = run.network(), scale(wide.test_images), wide.test_labels
    scores, R = certifier(network, (8, 16)).radii(images, labels)
    right, calls = scores.argmax(1) == labels, []

    def attack(network, x, t, radius, **options):
        calls.append((x, t, radius, options))
        return x

    monkeypatch.setattr(radii, "pgd_attack", attack)
    monkeypatch.setattr(radii, "search_attack", attack)
    entry = radii.measure_radii(run, wide, images=7, steps=3, restarts=2)
    order = torch.randperm(10, generator=training.generator(0, "certify", 0))[:7]
    inside, searched, *outside = calls
    chosen = order[R[order] > 0]
    for call in (inside, searched):
        assert torch.equal(call[0], images[chosen])
        assert torch.equal(call[1], labels[chosen])
        torch.testing.assert_close(call[2], R[chosen] * (1 - 1e-5), rtol=1e-15, atol=0)
        assert call[3]["box"] is None
    assert (inside[3]["steps"], inside[3]["restarts"]) == (3, 2)
    assert searched[3]["steps"] == 6
    for (x, _, radius, options), r in zip(outside, (36 / 255, 72 / 255, 108 / 255), strict=True):
        left = order[right[order] & (R[order] <= r)]
        assert torch.equal(x, images[left])
        assert torch.equal(radius, torch.full((len(left),), r).double())
        assert options["box"] == (0, 1)
    share = lambda mask: float(mask.double().mean())  # noqa: E731
    assert entry["clean"] == share(right)
    assert entry["radii"] == [36 / 255, 72 / 255, 108 / 255]
    assert entry["certified"] == [share(r < R) for r in entry["radii"]]
    assert entry["curve"]["radius"] == [k / 100 for k in range(101)]
    assert entry["curve"]["certified"] == [share(k / 100 < R) for k in range(101)]
    assert entry["median_radius"] == float(R[R > 0].median())
    assert entry["test_images"] == 10
    found = entry["attack"]
    assert (found["images"], found["clean"]) == (7, share(right[order]))
    assert found["certified"] == [share(R[order] > r) for r in entry["radii"]]
    assert found["accuracy"] == [found["clean"]] * 3
    assert found["inside_certified_radius"] == {"attacked": len(chosen), "successes": 0}
    assert entry["search"] == {"steps": 6, "attacked": len(chosen), "successes": 0}


def test_a_success_counts_only_inside_the_ball(wide, constrained, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "load_dataset", lambda *_, **__: wide)
    run = train(constrained.changed(variant="S", steps=4), tmp_path / "run", device="cpu")

    class Anything:
        constant = 1.0

        def radii(self, x, t):
            """Right at an image of the data set, wrong at any other."""
            known = (x[:, None] == scale(wide.test_images)).flatten(2).all(2).any(1)
            return torch.eye(3)[(t + ~known) % 3], 2.0 * known.double()

    monkeypatch.setattr(radii, "certifier", lambda *_: Anything())
    for stretch, successes in ((0.5, 10), (1 + 0.9e-5, 10), (1 + 1.2e-5, 0), (2, 0)):

        def attack(_, x, t, radius, stretch=stretch, **__):
            step = torch.zeros_like(x).double()
            step[:, 0, 0, 0] = stretch * radius
            return x.double() + step

        monkeypatch.setattr(radii, "pgd_attack", attack)
        monkeypatch.setattr(radii, "search_attack", attack)
        entry = radii.measure_radii(run, wide)
        found = entry["attack"]
        assert found["inside_certified_radius"] == {"attacked": 10, "successes": successes}
        assert entry["search"] == {"steps": 1000, "attacked": 10, "successes": successes}
        assert found["images"] == 10


def test_where_no_answer_is_certified_all_of_it_is_zero(wide, constrained, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "load_dataset", lambda *_, **__: wide)
    run = train(constrained.changed(variant="S", steps=4), tmp_path / "run", device="cpu")
    labels = run.network()(scale(wide.test_images)).argmin(1)
    entry = radii.measure_radii(run, replace(wide, test_labels=labels), steps=1, restarts=1)
    assert (entry["clean"], entry["median_radius"], entry["certified"]) == (0, 0, [0, 0, 0])
    assert entry["curve"]["certified"] == [0] * 101
    assert entry["attack"]["accuracy"] == [0, 0, 0]
    assert entry["attack"]["inside_certified_radius"] == {"attacked": 0, "successes": 0}
