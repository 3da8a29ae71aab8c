"""The command line: what it prints, and one line and status 2 for what a user can mend."""

import contextlib
import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from forward_stability import cli
from forward_stability.experiments import storage
from forward_stability.experiments.config import Config
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.sweep import read_sweep


@pytest.fixture
def images(pictures, tmp_path, monkeypatch):
    """The name of a data set of pictures; the current folder is a temporary one."""
    monkeypatch.chdir(tmp_path)
    return "imagefolder:images"


@pytest.fixture
def trained(images, capsys):
    """There is a trained run in the folder "run"."""
    cli.main(arguments(images, "--variant", "S", "--out", "run"))
    capsys.readouterr()


def arguments(images, *more):
    common = ["--blocks", "1", "--width", "2", "--steps", "4", "--batch-size", "3"]
    return ["train", "--dataset", images, *common, "--evaluate-every", "2", *more]


def fails(capsys, command, *words):
    """The command ends with status 2 and one line that contains the words."""
    try:
        status = cli.main(command)
    except SystemExit as exit_:
        status = exit_.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert captured.err.startswith("forward-stability")
    assert captured.err.count("\n") == 1, captured.err
    for word in words:
        assert word in captured.err


def test_train_and_evaluate(images, capsys):
    assert cli.main(arguments(images, "--variant", "S")) == 0
    out = capsys.readouterr().out
    assert out.startswith("runs/imagefolder-S-m1-seed0: ")
    assert "% test accuracy after 4 steps" in out
    command = ["evaluate", "runs/imagefolder-S-m1-seed0", "--sigma", "0.02", "--epsilon", "0.25"]
    assert cli.main(command) == 0
    first = capsys.readouterr().out
    assert [line[:9].strip() for line in first.splitlines()[1:]] == [
        "no noise",
        "σ = 0.02",
        "ε = 0.25",
    ]
    cli.main(command)
    assert capsys.readouterr().out == first


def test_train_again_trains_nothing(images, capsys):
    cli.main(arguments(images))
    first = capsys.readouterr().out
    cli.main(arguments(images))
    assert capsys.readouterr().out == first


def test_certify_prints_the_report_and_writes_it(images, capsys):
    cli.main(arguments(images, "--variant", "D"))
    folder = "runs/imagefolder-D-m1-seed0"
    capsys.readouterr()
    assert cli.main(["certify", folder, "--out", "constants.json"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ResNet-D, m = 1 on 6x7 pixels")
    assert cli.main(["bounds", folder]) == 0
    former = capsys.readouterr()
    assert former.out == out
    assert former.err == "forward-stability: warning: bounds is called certify now\n"
    report = storage.read_json(Path("constants.json"))
    assert report["size"] == [6, 7]
    assert [constants["name"] for constants in report["constants"]][-1] == "best"
    assert cli.main(["certify", folder, "--size", "9", "8"]) == 0
    assert "on 9x8 pixels" in capsys.readouterr().out
    fails(
        capsys,
        ["certify", folder, "--size", "0", "8"],
        "argument --size: must be at least 1, got 0",
    )


def test_data_says_what_is_there(images, capsys):
    assert cli.main(["data", images]) == 0
    out = capsys.readouterr().out
    assert out.startswith("imagefolder:images: 10 training and 6 test images of 6x7 pixels")


def test_options_are_the_fields_of_the_configuration_with_the_defaults_of_the_paper():
    args = cli.build_parser("train").parse_args(["train"])
    options = {f.name: getattr(args, f.name) for f in Config.options()}
    assert Config.from_dict(options) == Config()
    assert options.keys() == Config().to_dict().keys()


def test_help_names_every_option_with_units(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["train", "--help"])
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "number of optimiser steps (default: 93500)" in text
    for name in Config().to_dict():
        assert f"--{name.replace('_', '-')}" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--variant", "X"], ["unknown variant 'X'", "D, S, original"]),
        (["--blocks", "0"], ["blocks must be at least 1"]),
        (["--blocks", "many"], ["--blocks", "'many' is no whole number"]),
        (["--dataset", "imagenet"], ["unknown data set 'imagenet'"]),
        (["--dataset", "imagefolder:nowhere"], ["nowhere/train is missing"]),
        (["--device", "cuda:7"], ["GPU"]),
        (["--nonsense"], ["unrecognized arguments"]),
    ],
)
def test_bad_options(images, capsys, more, words, tmp_path):
    if more == ["--device", "cuda:7"] and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    fails(capsys, arguments(images, *more), *words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["evaluate", "run", "--device", "gpu"], "unknown device 'gpu': choose auto, cpu or cuda"),
        (["train", "--device", "mps"], "unknown device 'mps'"),
        (["train", "--device", "0"], "unknown device '0'"),
        (["train", "--seed", str(2**64)], "argument --seed: must be at most"),
        (["train", "--seed", "-5"], "seed must be at least 0, got -5"),
        (["train", "--width", str(2**62)], "too large to train"),
        (["train", "--learning-rate", "inf"], "argument --learning-rate: must be finite, got inf"),
        (["train", "--out", ""], "argument --out: the path is empty"),
        (["evaluate", "run", "--seed", str(2**64)], "must be at most 18446744073709551615"),
        (["evaluate", "run", "--seed", "1.5"], "'1.5' is no whole number"),
        (["evaluate", "run", "--sigma", "0", "inf"], "argument --sigma: must be finite"),
        (["evaluate", "run", "--epsilon", "nan"], "argument --epsilon: must be finite, got nan"),
        (["evaluate", "run", "--epsilon", "-1"], "argument --epsilon: must be from 0 to 1e6, "),
        (["evaluate", "run", "--sigma", "1e300"], "pixels are in [0, 1], got 1e300"),
        (["evaluate", "run", "--x0", "-1"], "argument --x0: must be at least 0, got -1"),
        (["radii", "run", "--images", "0"], "argument --images: must be at least 1, got 0"),
        (["radii", "run", "--images", "-5"], "argument --images: must be at least 1, got -5"),
        (["radii", "run", "--steps", "0"], "argument --steps: must be at least 1, got 0"),
        (["certify", "run", "--size", "8", "0"], "argument --size: must be at least 1, got 0"),
        (["noise", "run", "--step", "0"], "argument --step: must be at least 1, got 0"),
        (["data", "mnist", "--mirror", "example.org/x"], "'example.org/x' is no address such as"),
        (["data", "mnist", "--mirror", "http://[x"], "no address such as https://example.org/"),
        (["data", "mnist", "--mirror", "https://"], "no address such as https://example.org/"),
        (["sweep", "x.toml", "--scheduler", "127.0.0.1"], "no address such as tcp://host:8786"),
        (["sweep", "x.toml", "--scheduler", "tcp://host"], "lacks a port: write it as tcp://host"),
        (["sweep", "x.toml", "--scheduler", "tcp://host:0"], "no address such as"),
        (["sweep", "x.toml", "--scheduler", "tcp://host:99999"], "no address such as"),
        (["ledger", ""], "the path is empty"),
    ],
)
def test_arguments_are_checked_before_anything_is_done(trained, capsys, command, words):
    before = sorted(Path().rglob("*"))
    fails(capsys, command, words)
    assert sorted(Path().rglob("*")) == before


def test_a_sweep_for_no_device(images, capsys):
    Path("sweep.toml").write_text('device = "gpu"')
    fails(capsys, ["sweep", "sweep.toml"], "sweep.toml: unknown device 'gpu'")


def test_a_path_in_the_home_folder(images, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    assert cli.main(arguments(images, "--out", "~/run")) == 0
    assert Run("home/run").done


@pytest.mark.filterwarnings("default")  # as on a command line
def test_a_precision_that_is_slow_here_is_said_before_training(images, capsys, monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(f"torch.cpu.{name}", lambda: False)

    def start(*_arguments):
        assert "bfloat16 was 15 times slower than float32" in capsys.readouterr().err
        raise KeyboardInterrupt

    monkeypatch.setattr("forward_stability.experiments.training.Trainer", start)
    assert cli.main(arguments(images, "--precision", "bfloat16", "--device", "cpu")) == 130


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("command", [["train", "--help"], ["evaluate", "run", "--sigma", "0.1"]])
def test_what_the_stream_cannot_encode_is_escaped(trained, monkeypatch, encoding, command):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    with contextlib.suppress(SystemExit):
        assert cli.main(command) == 0
    stream.seek(0)
    assert r"\u03c1" in (text := stream.read()) or r"\u03c3 = 0.1" in text


def test_a_lack_of_memory_is_said(trained, capsys, monkeypatch):
    monkeypatch.setattr(Run, "network", lambda _: torch.empty(2**60))
    fails(capsys, ["certify", "run"], "this takes more memory than there is")


def test_a_defect_is_not_taken_for_a_lack_of_memory(trained, monkeypatch):
    monkeypatch.setattr(Run, "network", lambda _: torch.empty(2) @ torch.empty(3))
    with pytest.raises(RuntimeError, match="size"):
        cli.main(["certify", "run"])


def test_an_empty_dataset_folder(images, capsys, tmp_path):
    for split in ("train", "test"):
        (tmp_path / "empty" / split).mkdir(parents=True)
    fails(capsys, arguments("imagefolder:empty"), "holds no images")


def test_a_truncated_image(images, capsys, tmp_path):
    victim = tmp_path / "images" / "test" / "b" / "01.png"
    victim.write_bytes(victim.read_bytes()[:70])
    fails(capsys, arguments(images), "images/test/b/01.png (70 bytes) cannot be read as an image")
    assert not (tmp_path / "runs").exists()


def test_weights_cut_in_half(images, capsys, tmp_path):
    cli.main(arguments(images, "--out", "run"))
    capsys.readouterr()
    path = tmp_path / "run" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    fails(capsys, ["evaluate", "run"], "run/weights.safetensors", "is damaged")


def test_weights_of_another_architecture(images, capsys, tmp_path):
    cli.main(arguments(images, "--out", "run"))
    cli.main(arguments(images, "--out", "other", "--variant", "S"))
    capsys.readouterr()
    os.replace("other/weights.safetensors", "run/weights.safetensors")
    fails(capsys, ["evaluate", "run"], "belongs to another network", "'variant': 'S'")


@pytest.mark.parametrize("name", ["layers.0.conv.weight", "layers.0.bn.running_var", "mean"])
def test_weights_that_are_not_finite(images, capsys, name):
    cli.main(arguments(images, "--out", "run"))
    capsys.readouterr()
    run = Run("run")
    weights, _ = run.load("weights.safetensors", "")
    weights[name].view(-1)[0] = float("nan")
    run.save("weights.safetensors", weights)
    before = sorted(os.listdir("."))
    for command in ("evaluate", "certify", "radii", "noise", "export"):
        out = ["--out", "file"] if command != "evaluate" else []
        message = f"{name} of the network is not finite: train it"
        fails(capsys, [command, "run", *out], "run/weights.safetensors", message)
    assert sorted(os.listdir(".")) == before


def test_a_run_that_is_not_there(images, capsys):
    fails(capsys, ["evaluate", "nowhere"], "nowhere is no run folder")


def test_other_data_than_it_was_trained_on(images, capsys, tmp_path):
    cli.main(arguments(images, "--out", "run"))
    capsys.readouterr()
    Image.new("RGB", (7, 6)).save(tmp_path / "images" / "test" / "a" / "00.png")
    fails(capsys, ["evaluate", "run"], "is not the data that run was trained on")


def test_a_full_disk_while_saving_leaves_what_was_there(images, capsys, tmp_path, monkeypatch):
    """The disk fills up at the second checkpoint: the first one stays, and training goes on."""
    command = arguments(images, "--steps", "6", "--out", "run")
    original, saves = os.fsync, []

    def fsync(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").find("checkpoint") >= 0:
            saves.append(1)
            if len(saves) == 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", fsync)
        fails(
            capsys,
            command,
            "cannot write run/checkpoint-00000004.safetensors: No space left on device",
        )
    assert sorted(os.listdir("run")) == [
        "checkpoint-00000002.safetensors",
        "config.json",
        "history.jsonl",
        "run.json",
    ]
    assert cli.main(command) == 0


@pytest.mark.filterwarnings("default")  # as on a command line
def test_a_damaged_checkpoint_is_said_on_one_line_and_the_one_before_it_used(images, capsys):
    command = arguments(images, "--steps", "6", "--evaluate-every", "1", "--out", "run")
    writes = []

    def stop(*arguments):
        writes.append(arguments)
        if len(writes) == 4:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        original = Run.write_history
        patch.setattr(Run, "write_history", lambda *a: (stop(*a), original(*a)))
        assert cli.main(command) == 130
    newest = Path("run/checkpoint-00000003.safetensors")
    newest.write_bytes(newest.read_bytes()[:100])
    capsys.readouterr()
    assert cli.main(command) == 0
    assert capsys.readouterr().err == (
        "forward-stability: warning: run/checkpoint-00000003.safetensors (100 bytes) is damaged "
        "or no file of ours; going on from step 2 instead\n"
    )


def test_the_installed_command_prints_no_traceback(images):
    command = [sys.executable, "-m", "forward_stability.cli", "train", "--variant", "X"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "forward-stability: error: unknown variant 'X': choose one of D, S, original\n"
    )


def test_a_single_class(images, capsys, tmp_path):
    """Its answer depends on nothing: every radius is infinite."""
    for split in ("train", "test"):
        shutil.rmtree(tmp_path / "images" / split / "b")
    assert cli.main(arguments(images, "--variant", "S", "--out", "run")) == 0
    for command in ("evaluate", "certify", "radii", "noise"):
        assert cli.main([command, "run"]) == 0
    out = capsys.readouterr().out
    assert out.count("100.00 %") == 1 + 1 + 4 * 3


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_no_command_writes_among_the_results_of_the_book(capsys, tmp_path, monkeypatch):
    """Nor anything that git would see: its default is a folder that git ignores."""
    monkeypatch.chdir(tmp_path)
    before = contents(results_root())
    folder, small = str(results_root() / "digits-S-m2-theorem-seed0"), ["--images", "1"]
    for command in (
        ["evaluate", folder],
        ["certify", folder],
        ["radii", folder, *small, "--steps", "1", "--restarts", "1"],
        ["noise", folder, "--step", "180"],
        ["export", folder, "--out", "runs/live.safetensors"],
        ["train", "--width", "2", "--blocks", "1", "--steps", "1", "--batch-size", "2"],
        ["ledger"],
    ):
        assert cli.main(command) == 0
    assert contents(results_root()) == before
    assert os.listdir() == ["runs"]
    root = Path(__file__).parents[2]
    for path in (root / "sweeps").glob("*.toml"):
        out = read_sweep(path).out  # the queue is for checkpoints, which the book does not read
        assert out.parts[0] == "runs" or out.is_relative_to("results/queue")
    ignored = subprocess.run(["git", "-C", str(root), "check-ignore", "-q", "runs/x"], check=False)
    assert ignored.returncode == 0


@pytest.mark.parametrize("command", ["certify", "radii", "noise", "export"])
def test_a_file_that_cannot_be_written_is_said_before_the_work(images, capsys, command):
    cli.main(arguments(images, "--out", "run"))
    capsys.readouterr()
    Path("folder").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "network", None)  # it would be the first step of the work
        fails(capsys, [command, "run", "--out", "folder"], "folder is a folder: name a file")
        fails(capsys, [command, "run", "--out", "run/config.json/x"], "cannot write", "Not a direc")
    assert sorted(os.listdir()) == ["folder", "images", "root", "run"]


@pytest.mark.filterwarnings("default")  # as on a command line
def test_no_place_for_what_spares_the_next_call_its_work(images, capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FORWARD_STABILITY_DATA", str(tmp_path / "file"))
    assert cli.main(arguments(images, "--out", "run")) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "the images are read anew each time" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--version"], 0),
        (["data", "--help"], 0),
        (["data", "digits"], 0),
        (["certify", "digits-S-m3-seed0"], 0),
        (["data", "mnist"], 2),
        (["evaluate", "~/x"], 2),
    ],
)
def test_without_a_home_folder(words, status):
    """Only what needs one is refused, in one line."""
    if sys.platform == "win32":
        pytest.skip("there, other variables name it")
    lost = (
        "import os, pwd, sys"
        "\nfor name in ('HOME', 'FORWARD_STABILITY_DATA'): os.environ.pop(name, None)"
        "\ndef unknown(uid): raise KeyError(uid)\npwd.getpwuid = unknown"
        "\nfrom forward_stability.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", lost, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == (status == 2)
    assert ("home folder that cannot be found" in done.stderr) == (status == 2)
