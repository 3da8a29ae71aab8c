"""Run folders: damage is noticed, nothing of another run is taken or overwritten."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import equal, stop_at, weights
from PIL import Image

from forward_stability.errors import InputError
from forward_stability.experiments import ledger, training
from forward_stability.experiments.data import load_dataset
from forward_stability.experiments.evaluation import update
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import load_tensors, save_tensors
from forward_stability.experiments.sweep import is_done


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
    Image.new("RGB", (7, 6)).save(tmp_path / "images" / "train" / "a" / "00.png")
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


def test_a_configuration_with_unknown_entries_is_refused(stopped, config):
    path = stopped / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dropout": 0.1}))
    refused(config, stopped, "unknown entries in the configuration: dropout")


def test_names_of_the_data(config, stopped, tmp_path):
    assert Run(stopped).data_name == "images"
    info = json.loads((stopped / "run.json").read_text())
    info["data"]["name"] = "cifar10"
    (stopped / "run.json").write_text(json.dumps(info))
    assert Run(stopped).data_name == "cifar10"


def test_a_run_of_the_book_is_found_by_its_name_and_one_here_goes_before(stopped, monkeypatch):
    name = "digits-S-m3-seed0"
    assert Run(name).folder == results_root() / name
    stopped.rename(stopped.with_name(name))
    monkeypatch.chdir(stopped.parent)
    assert Run(name).folder == Path(name)
    with pytest.raises(InputError, match=r"nowhere is no run folder: it has no config\.json"):
        Run("nowhere")


def test_two_checkpoints_are_kept_and_none_when_the_run_is_done(config, tmp_path):
    run = Run.create(tmp_path / "run", config, load_dataset(config.dataset), "cpu")
    assert run.history == []
    assert run.load_checkpoint() is None
    config = replace(config, steps=1000)
    run = Run.create(tmp_path / "long", config, load_dataset(config.dataset), "cpu")
    for step in (2, 10, 100):
        run.save_checkpoint({"x": torch.tensor(step)}, step)
    assert [path.name for path in run.checkpoints] == [
        "checkpoint-00000100.safetensors",
        "checkpoint-00000010.safetensors",
    ]
    state, step = run.load_checkpoint() or ({}, 0)
    assert (int(state["x"]), step) == (100, 100)
    (run.folder / ".x.tmp").write_text("")
    assert not run.done
    run.finish({"x": torch.ones(1)})
    assert run.done
    assert run.checkpoints == list(run.folder.glob(".*")) == []


def test_names_that_are_not_utf8(config, tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    for split in ("train", "test"):
        (tmp_path / "images" / split / "a").rename(tmp_path / "images" / split / odd)
    (tmp_path / "images").rename(tmp_path / odd)
    config = replace(config, dataset=f"imagefolder:{tmp_path / odd}")
    run = Run(training.train(config, tmp_path / "all" / odd).folder)
    assert run.config.dataset == config.dataset
    assert run.dataset().classes == ("b", r"caf\xe9")
    assert [row.name for row in ledger.write(tmp_path / "all")] == [odd]
    assert (tmp_path / "all" / "ledger.csv").read_text().splitlines()[1].startswith(r"caf\udce9,")
    update(tmp_path / "all" / "noise.json", [run])
    assert (tmp_path / "all" / "noise.json").is_file()


def rewritten(path, change):
    """The JSON file with one thing changed."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


WRONG = [
    ("run.json", lambda path: path.write_text("{}"), "run.json lacks data or environment"),
    ("run.json", lambda path: path.write_text("[]"), "run.json must hold a dict, not .*: restore"),
    ("run.json", lambda path: path.write_text("null"), "run.json must hold a dict, not None"),
    (
        "run.json",
        lambda path: rewritten(path, lambda c: c.update(data=["x"])),
        "run.json lacks data or environment",
    ),
    (
        "run.json",
        lambda path: rewritten(path, lambda c: c["data"].update(classes=3)),
        "run.json lacks 'classes' of the data",
    ),
    (
        "run.json",
        lambda path: rewritten(path, lambda c: c["data"].update(image_shape=["3", 6, 7])),
        "run.json: image_shape must be three numbers",
    ),
    ("config.json", lambda path: path.write_text("[]"), "config.json must hold a dict"),
    ("config.json", lambda path: path.write_text('"D"'), "config.json must hold a dict"),
]


@pytest.mark.parametrize(("filename", "damage", "message"), WRONG)
def test_files_of_another_form_are_refused_and_stop_no_other_run(
    config, tmp_path, filename, damage, message
):
    config = replace(config, steps=2)
    for name in ("one", "two"):
        training.train(config, tmp_path / "all" / name)
    damage(tmp_path / "all" / "one" / filename)
    run = Run(tmp_path / "all" / "one")
    for use in (run.network, run.dataset, lambda: training.train(config, run.folder)):
        with pytest.raises(InputError, match=message):
            use()
    with pytest.raises(InputError, match=f"left out of .*: .*{message}"):
        ledger.write(tmp_path / "all")
    rows, damaged = ledger.scan(tmp_path / "all")
    assert [row.name for row in rows] == ["two"]
    assert len(damaged) == 1
    assert not is_done(run.folder, config)


@pytest.mark.parametrize("line", ["[]", "3", "{}", '{"step": "6"}', "null"])
def test_a_history_of_another_form_is_refused(config, tmp_path, line):
    run = training.train(replace(config, steps=2), tmp_path / "run")
    (run.folder / "history.jsonl").write_text(f"{line}\n")
    with pytest.raises(InputError, match=r"history\.jsonl has a line that is no evaluation"):
        _ = run.history


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("mean"), "mean is nothing, not"),
        (lambda t: t.update(extra=torch.ones(2)), r"extra is \(2,\), not nothing"),
        (lambda t: t.update(mean=torch.ones(2)), r"mean is \(2,\), not \(3, 1, 1\)"),
    ],
)
def test_weights_of_other_names_or_shapes_are_refused(config, tmp_path, change, message):
    run = training.train(replace(config, steps=2), tmp_path / "run")
    tensors = weights(run)
    change(tensors)
    run.save("weights.safetensors", tensors)
    with pytest.raises(InputError, match=f"weights.safetensors: .*another network: {message}"):
        run.network()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: t.pop("network.mean"), "the checkpoint after step 5: .* mean is nothing"),
        (lambda t, m: m.pop("step"), "is after step None of 12"),
        (lambda t, m: m.update(step="5"), "is after step 5 of 12"),
        (lambda t, m: m.update(step=12), "is after step 12 of 12"),
        (lambda t, m: m.update(config=[]), "a configuration is a table of options"),
        (
            lambda t, m: t.update({k: v[:1] for k, v in t.items() if "momentum" in k}),
            "the checkpoint after step 5: the momentum of .* has another shape",
        ),
    ],
)
def test_a_checkpoint_of_another_form_is_refused(config, stopped, change, message):
    path = stopped / "checkpoint-00000005.safetensors"
    tensors, metadata = load_tensors(path, "")
    change(tensors, metadata)
    save_tensors(path, tensors, metadata)
    refused(config, stopped, message)


def test_a_file_of_tensors_whose_metadata_is_a_list_is_refused(tmp_path):
    save_tensors(tmp_path / "x", {}, {})
    content = (tmp_path / "x").read_bytes().replace(b'"{}"', b'"[]"')
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match="is damaged or no file of ours"):
        load_tensors(tmp_path / "x", "")


def test_a_folder_as_people_write_it(config, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    images = f"imagefolder:~/{Path(config.dataset.split(':')[1]).relative_to(tmp_path)}"
    training.train(replace(config, dataset=images, steps=1), Path("~/run"))
    config_file = tmp_path / "run" / "config.json"
    config_file.write_bytes(b"\xef\xbb\xbf" + config_file.read_bytes())
    assert Run("~/run").dataset().name == images
