"""The ledger follows from the run folders, and the tables from the ledger."""

import csv
import json
import shutil
from dataclasses import asdict, replace

import pytest
import torch
from builders import write_pictures

from forward_stability import cli
from forward_stability.errors import InputError
from forward_stability.experiments import ledger, training
from forward_stability.experiments.config import Config
from forward_stability.experiments.ledger import FILENAME
from forward_stability.experiments.runs import Run

CONFIG = Config(variant="D", blocks=1, width=2, steps=6, batch_size=4, evaluate_every=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of two runs on ten images, and the runs."""
    folder = tmp_path_factory.mktemp("ledger")
    config = replace(CONFIG, dataset=write_pictures(folder / "images", {"a": 0, "b": 0}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORWARD_STABILITY_DATA", str(folder / "root"))
        for seed in (0, 1):
            training.train(replace(config, seed=seed), folder / "runs" / f"seed{seed}")
    return folder / "runs"


@pytest.fixture
def runs(trained, tmp_path):
    """A copy of that folder."""
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs"


def test_a_row_says_what_the_run_folder_says(runs):
    row = ledger.write(runs)[1]
    run = Run(runs / "seed1")
    accuracies = [entry["test_accuracy"] for entry in run.history]
    assert (row.name, row.variant, row.blocks, row.seed, row.steps) == ("seed1", "D", 1, 1, 6)
    assert row.final_accuracy == pytest.approx(accuracies[-1], abs=1e-6)
    assert row.parameters == sum(p.numel() for p in run.network().parameters())
    assert row.changes == "width=2 steps=6 batch_size=4 evaluate_every=2"
    assert row.device == "cpu"
    assert run.info["data"]["fingerprint"].startswith(row.fingerprint)
    assert str(runs.parent) not in (runs / FILENAME).read_text()  # no path of this machine


def test_the_command_of_a_row_trains_the_same_run(runs, trained, monkeypatch, tmp_path):
    monkeypatch.setenv("FORWARD_STABILITY_DATA", str(tmp_path / "root"))
    command = ledger.write(runs)[1].command.replace("DIR", str(trained.parent / "images"))
    assert cli.main([*command.split()[1:], "--out", str(tmp_path / "again")]) == 0
    again, first = Run(tmp_path / "again").network(), Run(runs / "seed1").network()
    for a, b in zip(again.parameters(), first.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_is_written_is_read(runs):
    rows = ledger.write(runs)
    assert [row.name for row in rows] == ["seed0", "seed1"]
    assert ledger.read(runs) == rows
    with (runs / FILENAME).open(newline="") as file:
        written = list(csv.DictReader(file))
    assert written == [{k: str(v) for k, v in asdict(row).items()} for row in rows]


def test_runs_at_any_depth_and_unfinished_ones_left_out(runs):
    (runs / "deep").mkdir()
    (runs / "seed1").rename(runs / "deep" / "seed1")
    (runs / "seed0" / "weights.safetensors").unlink()
    assert [row.name for row in ledger.write(runs)] == ["deep/seed1"]


def break_json(folder):
    path = folder / "run.json"
    path.write_text(path.read_text()[:40])


def break_history(folder):
    path = folder / "history.jsonl"
    path.write_text(path.read_text()[:-20])


def shorten_history(folder):
    path = folder / "history.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def forget_result(folder):
    info = json.loads((folder / "run.json").read_text())
    del info["result"]
    (folder / "run.json").write_text(json.dumps(info))


def mistype_config(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"steps": 6', '"steps": "six"'))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_json, "run.json is not valid JSON"),
        (break_history, "history.jsonl is not valid JSON"),
        (shorten_history, "the history does not end at step 6"),
        (forget_result, "lacks 'result'"),
        (mistype_config, "steps must be of type int, got 'six'"),
    ],
)
def test_a_damaged_run_folder_is_named_and_the_others_are_kept(runs, damage, words):
    damage(runs / "seed0")
    with pytest.raises(InputError, match=f"left out of .*ledger.csv: .*{words}"):
        ledger.write(runs)
    assert [line.split(",")[0] for line in (runs / FILENAME).read_text().splitlines()[1:]] == [
        "seed1"
    ]
    with pytest.raises(InputError, match=words):
        ledger.read(runs)


def test_the_command_line_writes_the_ledger(runs, capsys):
    assert cli.main(["ledger", str(runs)]) == 0
    assert capsys.readouterr().out == f"{runs / FILENAME}: 2 runs\n"
    break_history(runs / "seed1")
    assert cli.main(["ledger", str(runs)]) == 2
    assert "seed1/history.jsonl" in capsys.readouterr().err
    assert cli.main(["ledger", str(runs / "nowhere")]) == 2
    assert "nowhere is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(variant="S", blocks=9, dataset="cifar100", seed=4), {}),
        (Config(steps=9350), {"steps": 9350}),  # the decay is scaled
        (Config(epochs=15), {"steps": 5865}),
        (Config(steps=9350, decay_every=32_000), {"steps": 9350, "decay_every": 32_000}),
        (Config(decay_every=30_000), {"decay_every": 30_000}),
        (Config(momentum=0.0, width=8), {"momentum": 0.0, "width": 8}),
    ],
)
def test_what_differs_from_the_protocol(config, expected):
    assert ledger.changes(config.resolved(50_000)) == expected


def test_the_average_of_the_paper_is_over_ten_evaluations():
    history = [{"step": s, "test_accuracy": s / 1e5} for s in range(500, 94_000, 500)]
    average, count = ledger.average_accuracy(history, 93_500)
    assert count == 10  # steps 89,000, 89,500, ..., 93,500
    assert average == pytest.approx(0.9125, rel=1e-12)


def test_a_short_training_is_averaged_over_the_same_share_and_at_least_its_end():
    history = [{"step": s, "test_accuracy": s / 1e5} for s in range(50, 9_400, 50)]
    average, count = ledger.average_accuracy(history, 9_350)
    assert (count, average) == (10, pytest.approx(0.09125, rel=1e-12))
    assert ledger.average_accuracy([{"step": 6, "test_accuracy": 0.5}], 6) == (0.5, 1)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(), "--variant D --blocks 3 --dataset digits --seed 0"),
        (
            Config("S", 6, dataset="imagefolder:/home/a", seed=2, steps=935),
            "--variant S --blocks 6 --dataset imagefolder:DIR --seed 2 --steps 935",
        ),
    ],
)
def test_the_command_of_a_configuration(config, expected):
    assert ledger.command(config.resolved(50_000)) == f"forward-stability train {expected}"


def test_evaluations_at_the_edge_of_the_window():
    """The last 5,000 steps: 88,500 is before them, 88,501 among them."""
    entries = ((88_500, 0.2), (88_501, 0.4), (93_500, 0.6))
    history = [{"step": step, "test_accuracy": accuracy} for step, accuracy in entries]
    assert ledger.average_accuracy(history, 93_500) == (0.5, 2)
    assert ledger.average_accuracy([{"step": 20, "test_accuracy": 0.5}], 20) == (0.5, 1)
