"""The certified hour: what a small network is certified for after an hour on two processor cores.

An entry is one network, trained with three seeds or more on the original images of CIFAR-10: the
run folders in ``results/hour/NAME/``, each with the ``radii.json`` of ``forward-stability radii``.
What the rules ask for is read there, and an entry that breaks one is refused. Chapter 15.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from forward_stability.book.table import Table
from forward_stability.book.tables import check_seeds, percent
from forward_stability.errors import InputError
from forward_stability.experiments.config import Config
from forward_stability.experiments.data import from_tensors
from forward_stability.experiments.ledger import Row
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.radii import RADII
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import read_json
from forward_stability.experiments.training import Trainer

PARAMETERS, MINUTES, CORES, SEEDS = 400_000, 60, 2, 3
"""At most so many trainable parameters, minutes, cores; at least so many trainings."""

TESTED, ATTACKED = 10_000, 1_000
"""The test images that are certified, and those of at least one training that are attacked."""

FOLDER = "hour"
"""Where the entries are, among the results."""


@dataclass(frozen=True)
class Entry:
    """One network in the contest, by its trainings.

    Attributes:
        name: of its folder.
        rows: of the ledger, one a training.
        certificates: what ``forward-stability radii`` found of each.
        config: of the first training.
    """

    name: str
    rows: list[Row]
    certificates: list[dict[str, Any]]
    config: Config

    @property
    def within(self) -> bool:
        """Whether it is within the theorem of the paper: its layers are those of ResNet-S."""
        beyond = self.config.beyond
        return (self.config.variant, beyond.layers, beyond.outer) == ("S", "paper", "relu")

    @property
    def minutes(self) -> float:
        """The longest of its trainings."""
        return max(row.seconds for row in self.rows) / 60

    def certified(self, radius: float) -> list[float]:
        """The share of right answers that are proven at a radius, one a training; 0: the right."""
        if radius == 0:
            return [c["clean"] for c in self.certificates]
        return [
            dict(zip(c["radii"], c["certified"], strict=True))[radius] for c in self.certificates
        ]


def entries(rows: Sequence[Row], folder: Path | None = None) -> list[Entry]:
    """The entries, those within the theorem first, then by what is certified at 36/255.

    Args:
        rows: of the ledger.
        folder: of the ledger; default: the results that come with the book.

    Raises:
        InputError: if an entry breaks a rule, which is named.
    """
    folder, groups, found = folder or results_root(), defaultdict(list), []
    for row in rows:
        contest, *path = row.name.split("/")
        if contest == FOLDER and len(path) == 2:
            groups[path[0]].append(row)
    for name, group in groups.items():
        runs = [Run(folder / row.name) for row in group]
        radii = [read_json(run.folder / "radii.json") for run in runs]
        check_rules(name, group, radii, [run.info["environment"] for run in runs])
        found.append(Entry(name, group, radii, runs[0].config))
    return sorted(found, key=lambda e: (not e.within, -mean(e.certified(RADII[0]))))


def check_rules(
    name: str,
    rows: Sequence[Row],
    certificates: Sequence[Mapping[str, Any]],
    environments: Sequence[Mapping[str, str]],
) -> None:
    """Raise InputError that names the rule which the trainings of an entry break, if they do."""
    check_seeds(rows)
    attacks = [c["attack"] for c in certificates]
    kinds = {(row.variant, row.blocks, row.changes) for row in rows}
    rules = {
        f"at least {SEEDS} trainings": len(rows) >= SEEDS,
        "trainings that differ in the seed alone": len(kinds) == 1,
        "the original images of CIFAR-10": all(r.dataset == "cifar10" for r in rows),
        f"at most {PARAMETERS:,} parameters": all(r.parameters <= PARAMETERS for r in rows),
        f"at most {MINUTES} minutes": all(r.seconds <= 60 * MINUTES for r in rows),
        f"at most {CORES} cores": all(
            e["device"] == "cpu" and int(e["threads"]) <= CORES for e in environments
        ),
        "hypotheses that hold": all(c["hypotheses_hold"] for c in certificates),
        f"radii of {TESTED:,} images": all(c["test_images"] == TESTED for c in certificates),
        "radii of the weights that are stored": all(
            isclose(c["clean"], r.final_accuracy, abs_tol=0.002)
            for c, r in zip(certificates, rows, strict=True)
        ),
        f"an attack on {ATTACKED:,} images": max(a["images"] for a in attacks) >= ATTACKED,
        "no attack that succeeds": not any(
            found["successes"]
            for c in certificates
            for found in (c["search"], c["attack"]["inside_certified_radius"])
        ),
    }
    for rule, kept in rules.items():
        if not kept:
            raise InputError(f"{FOLDER}/{name} breaks a rule of the contest: {rule}")


def standings(found: Sequence[Entry]) -> Table:
    """What the entries reach: mean and standard deviation over their trainings, in percent."""
    sections: dict[str, list[tuple[str, ...]]] = {}
    for entry in found:
        work = entry.config.steps * operations(entry.config) / 1e12
        cost = f"{entry.rows[0].parameters:,} weights, {entry.minutes:.0f} min, {work:.0f} TFLOP"
        about = f"{entry.name}\n{entry.certificates[0]['network']}, {cost}"
        shares = [percent(entry.certified(r), 1) for r in (0, *RADII)]
        section = "Within the theorem" if entry.within else "Open"
        sections.setdefault(section, []).append((about, *shares))
    certificates = [c for entry in found for c in entry.certificates]
    descended = sum(c["attack"]["inside_certified_radius"]["attacked"] for c in certificates)
    searched = sum(c["search"]["attacked"] for c in certificates)
    made = sorted({row.hardware for entry in found for row in entry.rows})
    note = (
        f"In percent of {TESTED:,} test images: mean ± standard deviation of "
        f"{' or '.join(sorted({str(len(e.rows)) for e in found}))} trainings, of which the longest "
        f"counts. An entry is a folder in `results/{FOLDER}`. On {', '.join(made)}. "
        f"Attacked inside the certified radius: {descended:,} images by gradients, {searched:,} by "
        "random search; none with success."
    )
    header = ("entry", "clean", *(f"{255 * r:.0f}/255" for r in RADII))
    return Table("The certified hour", header, sections, note)


def operations(config: Config) -> int:
    """The multiplications and additions of a step for images of CIFAR-10, as PyTorch counts them.

    Norm balls and gradients are among them.
    """
    images = torch.zeros(config.batch_size, 3, 32, 32, dtype=torch.uint8)
    batch = images, torch.zeros(len(images), dtype=torch.int64)
    dataset = from_tensors(batch, batch, classes=[str(k) for k in range(10)])
    trainer = Trainer(config, dataset, "cpu")
    with FlopCounterMode(display=False) as counter:
        trainer.step(0)
    return counter.get_total_flops()
