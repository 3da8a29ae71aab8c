"""The ledger: a row a finished run, derived from the run folders whenever it is read.

For other programs, :func:`write` puts it into ``ledger.csv`` beside them; nothing here reads that.
A run is of the full protocol if nothing but variant, m, data set and seed differs from Sect. 4 of
the paper; otherwise the column ``changes`` says what does.
"""

import csv
import io
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from forward_stability.errors import InputError
from forward_stability.experiments.config import PAPER_STEPS, Config
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import ESCAPED, write_bytes
from forward_stability.models import Network

FILENAME = "ledger.csv"

PAPER_WINDOW = 5_000
"""Table 3 lists the average of the test accuracy in the last 5,000 of the 93,500 steps."""

FOLDERS = {"1c28d4885135": "cifar10", "d2aa27901620": "cifar10-jpeg"}
"""Folders of images that are known by their fingerprint: CIFAR-10, lossless and as JPEG."""

IDENTITY = ("variant", "blocks", "dataset", "seed")
"""What tells the runs of Sect. 4 apart; everything else is the same in all of them."""


@dataclass(frozen=True)
class Row:
    """A finished run.

    Attributes:
        name: of the run folder, relative to the ledger.
        variant, blocks, seed, steps, precision: as configured; m is ``blocks``.
        dataset: its name; a folder of images is ``imagefolder`` unless its content is known.
        fingerprint: the first 12 digits of the SHA-256 of images and labels.
        changes: what differs from Sect. 4, such as ``steps=5865 batch_size=64``; empty if nothing.
        parameters: the number of trainable parameters, as Table 2 counts them.
        final_accuracy: the fraction of the test images, after the last step.
        average_accuracy: its mean over the last evaluations, see :func:`average_accuracy`.
        evaluations: how many these are.
        seconds: of training, evaluations included.
        device, hardware, torch, commit: where and with what it was trained.
        command: what trains it.
    """

    name: str
    variant: str
    blocks: int
    dataset: str
    fingerprint: str
    seed: int
    steps: int
    precision: str
    changes: str
    parameters: int
    final_accuracy: float
    average_accuracy: float
    evaluations: int
    seconds: float
    device: str
    hardware: str
    torch: str
    commit: str
    command: str


def changes(config: Config) -> dict[str, Any]:
    """The entries of a resolved configuration that differ from Sect. 4, without its identity.

    A learning rate that is divided by 10 at the same fraction of a shorter training is the
    schedule of the paper scaled to the length: there only ``steps`` differs.
    """
    scaled = Config(steps=config.steps).resolved(1)
    paper = Config().to_dict() | {"decay_every": scaled.decay_every}
    values = config.to_dict()
    return {n: v for n, v in values.items() if n not in IDENTITY and v != paper[n]}


def command(config: Config) -> str:
    """The command that trains a resolved configuration; the path of a folder of images is DIR."""
    dataset = "imagefolder:DIR" if config.dataset.startswith("imagefolder:") else config.dataset
    options = {name: getattr(config, name) for name in IDENTITY} | {"dataset": dataset}
    options |= changes(config)
    words = (f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    return " ".join(["forward-stability train", *words])


def average_accuracy(history: list[dict[str, Any]], steps: int) -> tuple[float, int]:
    """The mean of the test accuracy over the evaluations in the last 5,000 of 93,500 steps.

    For a training of another length, over the same fraction of its steps.

    Args:
        history: the entries of a run, see :attr:`~forward_stability.experiments.runs.Run.history`.
        steps: the number of steps of the training.

    Returns:
        the mean and the number of evaluations in it; the last step is always evaluated.

    Source: Sect. 4.1. Chapter 13.
    """
    start = steps - round(steps * PAPER_WINDOW / PAPER_STEPS)
    last = [e["test_accuracy"] for e in history if e["step"] > start or e["step"] == steps]
    return sum(last) / len(last), len(last)


def make_row(run: Run, name: str) -> Row:
    """The row of a finished run.

    Raises:
        InputError: if a file of the run folder is missing, damaged or contradicts another.
    """
    config, info, history = run.config, run.info, run.history
    with torch.device("meta"):
        parameters = Network(**run.architecture).parameter_count
    try:
        data, environment, result = info["data"], info["environment"], info["result"]
        if history[-1]["step"] != config.steps or result["step"] != config.steps:
            raise InputError(f"{run.folder}: the history does not end at step {config.steps}")
        average, evaluations = average_accuracy(history, config.steps)
        fingerprint = data["fingerprint"][:12]
        dataset = config.dataset.split(":")[0]
        return Row(
            name=name,
            variant=config.variant,
            blocks=config.blocks,
            dataset=FOLDERS.get(fingerprint, dataset) if dataset == "imagefolder" else dataset,
            fingerprint=fingerprint,
            seed=config.seed,
            steps=config.steps,
            precision=config.precision,
            changes=" ".join(f"{key}={value}" for key, value in changes(config).items()),
            parameters=parameters,
            final_accuracy=round(history[-1]["test_accuracy"], 6),
            average_accuracy=round(average, 6),
            evaluations=evaluations,
            seconds=round(result["seconds"], 1),
            device=environment.get("device", ""),  # not recorded by the first runs
            hardware=environment["hardware"],
            torch=environment["torch"],
            commit=environment["commit"],
            command=command(config),
        )
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"{run.folder} is damaged: run.json or history.jsonl lacks {error}"
        ) from error


def scan(folder: Path) -> tuple[list[Row], list[str]]:
    """The rows of the finished runs below a folder, and what is wrong with the others.

    Args:
        folder: holds run folders, at any depth. A run that is still being trained has no row.

    Returns:
        the rows by name, and a line for each damaged run folder.

    Raises:
        InputError: if there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    rows, damaged = [], []
    for path in sorted(folder.rglob("config.json")):
        try:
            run = Run(path.parent)
            if run.done:
                rows.append(make_row(run, path.parent.relative_to(folder).as_posix()))
        except InputError as error:
            damaged.append(str(error))
    return rows, damaged


def read(folder: Path | None = None) -> list[Row]:
    """The rows of the finished runs below a folder, by name.

    Args:
        folder: default: the results that come with the book.

    Raises:
        InputError: if there is no such folder, or run folders are damaged.
    """
    rows, damaged = scan(folder or results_root())
    if damaged:
        raise InputError("; ".join(damaged))
    return rows


def write(folder: Path) -> list[Row]:
    """Write the rows below a folder to its ``ledger.csv``, atomically.

    Returns:
        the rows.

    Raises:
        InputError: if there is no such folder; or, after the ledger was written without them, if
            run folders are damaged.
    """
    rows, damaged = scan(folder)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(f.name for f in fields(Row))
    writer.writerows(astuple(row) for row in rows)
    write_bytes(folder / FILENAME, text.getvalue().encode("utf-8", ESCAPED))
    if damaged:
        raise InputError(f"left out of {folder / FILENAME}: {'; '.join(damaged)}")
    return rows
