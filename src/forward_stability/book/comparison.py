"""What the variants cost and what they give: trainings that differ in the network alone.

Chapter 13 and the page "Should I use this?" show it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from forward_stability.book import paper
from forward_stability.book.table import Table
from forward_stability.book.tables import DATA, changed, check_seeds, operations, percent
from forward_stability.experiments.ledger import Row
from forward_stability.models import VARIANTS

STEPS = 5_865
"""15 epochs of CIFAR-10 in mini-batches of 128 images."""

LEVELS = paper.NOISE_LEVELS[1:]
"""The noises of Table 4."""


@dataclass(frozen=True)
class Network:
    """The trainings of one network with several seeds, on the same images.

    Attributes:
        variant, blocks: which; m is ``blocks``.
        rows: of the ledger, one a seed.
        accuracy: the fractions of Table 4, one a training that was tested, by "clean", "σ = 0.02"
            or "ε = 0.25": the mean over seeds of the noise or over the images x0 that all networks
            were tested with.
    """

    variant: str
    blocks: int
    rows: list[Row]
    accuracy: dict[str, list[float]]

    @property
    def name(self) -> str:
        """Such as "ResNet-S, m = 3"."""
        return f"{VARIANTS[self.variant]}, m = {self.blocks}"


def networks(
    rows: Iterable[Row], entries: Mapping[str, Any], dataset: str = "cifar10", steps: int = STEPS
) -> list[Network]:
    """The networks that were trained on the same images for the same steps, all as in Sect. 4.

    Args:
        rows: of the ledger.
        entries: of :func:`forward_stability.experiments.evaluation.read`.
        dataset, steps: which trainings.

    Returns:
        by m, then in the order ResNet, ResNet-D, ResNet-S.

    Raises:
        InputError: if two trainings of a network have the same seed.
    """
    found: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in rows:
        alike = set(changed(row)) <= {"steps"}
        if (row.dataset, row.steps) == (dataset, steps) and alike:
            found[row.blocks, row.variant].append(row)
    for group in found.values():
        check_seeds(group)
    order = ("original", "D", "S")
    tested = {row.name for group in found.values() for row in group} & set(entries)
    shared = set.intersection(*(set(entries[name]["x0"]) for name in tested)) if tested else set()
    return [
        Network(variant, blocks, group, _noises([entries.get(row.name) for row in group], shared))
        for (blocks, variant), group in sorted(
            found.items(), key=lambda item: (item[0][0], order.index(item[0][1]))
        )
    ]


def _noises(
    entries: Sequence[Mapping[str, Any] | None], shared: set[str]
) -> dict[str, list[float]]:
    """The means of each level, one a tested training: over the shared images x0 for ε."""

    def average(entry: Mapping[str, Any], level: str) -> float:
        values = entry["accuracy"][level]
        if level.startswith("ε"):
            values = [v for v, x0 in zip(values, entry["x0"], strict=True) if x0 in shared]
        return mean(values)

    known = [entry for entry in entries if entry is not None]
    levels = [level for level in paper.NOISE_LEVELS if shared or not level.startswith("ε")]
    return {level: [average(entry, level) for entry in known] for level in levels if known}


def detectable(first: Sequence[float], second: Sequence[float], level: float = 0.05) -> float:
    r"""The least difference of two means that a t test calls significant.

    :math:`t_{1 - α/2,\, n_1 + n_2 - 2} \; s \sqrt{1/n_1 + 1/n_2}` with the pooled standard
    deviation s.

    Args:
        first, second: at least two values each.
        level: α.

    Returns:
        in the unit of the values.

    Chapter 13.
    """
    n1, n2 = len(first), len(second)
    free = n1 + n2 - 2
    pooled = sqrt(((n1 - 1) * stdev(first) ** 2 + (n2 - 1) * stdev(second) ** 2) / free)
    return float(student.ppf(1 - level / 2, free)) * pooled * sqrt(1 / n1 + 1 / n2)


def table(found: Sequence[Network], dataset: str = "cifar10") -> Table:
    """What the networks cost and what they give, side by side.

    Args:
        found: of :func:`networks`.
        dataset: the images, for the heading.
    """
    lines = []
    for network in found:
        count, row = len(network.rows), network.rows[0]
        cost = f"{operations(network.variant, network.blocks) / 1e9:.1f} GFLOP a step"
        noisy = (percent(network.accuracy[k]) if k in network.accuracy else "–" for k in LEVELS)
        lines.append(
            (
                f"{network.name}\n{count} training{'s' if count > 1 else ''}",
                f"{row.parameters:,}\n{cost}",
                percent([r.final_accuracy for r in network.rows]),
                *noisy,
            )
        )
    header = ("network", "parameters", "no noise", *LEVELS)
    heading = f"{DATA[dataset]}, {found[0].rows[0].steps:,} steps" if found else ""
    note = (
        "Test accuracy after the last step, in percent: the mean over trainings ± their standard "
        "deviation; of a training, the mean over seeds of the noise (σ) or over the same images "
        "x0 (ε). Without ± it is one training."
    )
    return Table(
        "What do the variants cost, and what do they give?", header, {heading: lines}, note
    )


def leads(found: Sequence[Network]) -> Table:
    """By how much the first network is ahead of each other one, and what chance makes of it.

    Args:
        found: networks with at least two trainings each, all tested with noise.
    """
    first, *others = found
    lines = []
    for other in others:
        cells = []
        for level in paper.NOISE_LEVELS:
            x, y = ([100 * a for a in n.accuracy[level]] for n in (first, other))
            lead, least = mean(x) - mean(y), detectable(x, y)
            verdict = "chance" if abs(lead) < least else "ahead" if lead > 0 else "behind"
            cells.append(f"{lead:.1f}\n{verdict}: {least:.1f}".replace("-", "−"))
        lines.append((other.name, *cells))
    counts = ", ".join(str(len(n.accuracy["clean"])) for n in found)
    return Table(
        f"By how many points {first.name}, is ahead of the others",
        ("network", "no noise", *LEVELS),
        {"": lines},
        "Differences of means in points, and below them from where on a t test at 5 % calls one "
        f"significant. Trainings: {counts}.",
    )
