"""Tables 2, 3 and 5 and Fig. 7 of the paper beside ours, made from the ledger.

A verdict is given for runs of the full protocol on the paper's images only. A shortened run, or one
on a re-encoding of the images, is shown where there is no other, says so, and gets no verdict.
Chapter 13 and the reproduction ledger show what is made here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from statistics import mean, stdev

import torch
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from forward_stability.book import paper
from forward_stability.book.figures import figure
from forward_stability.book.table import Table
from forward_stability.errors import InputError
from forward_stability.experiments import evaluation
from forward_stability.experiments.config import PAPER_STEPS, Config
from forward_stability.experiments.ledger import Row
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import read_json
from forward_stability.models import VARIANTS, Network

MARGIN = 1.5
"""A test accuracy is reproduced if its mean over seeds is within so many percentage points."""

DATA = {
    "digits": "digits",
    "cifar10": "CIFAR-10",
    "cifar10-jpeg": "CIFAR-10, JPEG re-encoding",
    "cifar100": "CIFAR-100",
}
"""The data sets by their names in the ledger."""

SHORTENED = {"steps", "evaluate_every"}
"""What may differ from Sect. 4 in a run that is shown in a table, without a verdict."""


def changed(row: Row) -> dict[str, str]:
    """What differs from Sect. 4, by name.

    Not the precision, which the tables name beside the hardware.
    """
    changes = dict(change.split("=", 1) for change in row.changes.split())
    changes.pop("precision", None)
    return changes


def reencoded(row: Row) -> bool:
    """Whether a run is on a re-encoding of a data set."""
    return row.dataset.endswith("-jpeg")


def select(rows: Iterable[Row], variant: str, blocks: int, dataset: str) -> list[Row]:
    """The runs that stand for one network of the paper: alike in everything but the seed.

    Runs on the data set itself come before those on its re-encoding; then the longest. Runs that
    differ in more than their length and precision are not shown.

    Raises:
        InputError: if two of them have the same seed, so that it would be counted twice.
    """
    groups: dict[tuple[str, int, bool], list[Row]] = defaultdict(list)
    for row in rows:
        same = (row.variant, row.blocks) == (variant, blocks)
        changes = set(changed(row))
        if same and row.dataset.removesuffix("-jpeg") == dataset and changes <= SHORTENED:
            groups[row.dataset, row.steps, not changes].append(row)

    def rank(group: list[Row]) -> tuple[bool, bool, int]:
        row = group[0]
        return not reencoded(row), not changed(row), row.steps

    best = max(groups.values(), key=rank, default=[])
    check_seeds(best)
    return best


def check_seeds(runs: Iterable[Row]) -> None:
    """Raise InputError if two runs have the same seed, so that it would be counted twice."""
    seen: dict[int, str] = {}
    for row in runs:
        if row.seed in seen:
            raise InputError(
                f"{seen[row.seed]} and {row.name} are one experiment with one seed, which would be "
                "counted twice: move one of them to another folder"
            )
        seen[row.seed] = row.name


def percent(fractions: Sequence[float], digits: int = 2) -> str:
    """The mean in percent and, of several, ± the standard deviation (of the sample)."""
    values = [100 * fraction for fraction in fractions]
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def verdict(runs: Sequence[Row], expected: float) -> str:
    """What the runs of one network say about a test accuracy that the paper prints.

    Args:
        runs: of :func:`select`.
        expected: the paper's, in percent.

    Returns:
        "not run"; "reproduced" or "not reproduced", for runs of the full protocol on the paper's
        images, by :data:`MARGIN`; or what keeps the runs from a verdict.
    """
    if not runs:
        return "not run"
    row = runs[0]
    if reencoded(row):
        return "no verdict: other images"
    if row.steps != PAPER_STEPS:
        return f"shortened run: {row.steps:,} steps"
    if changes := changed(row):
        return f"no verdict: {' '.join(f'{key}={value}' for key, value in changes.items())}"
    found = 100 * mean(r.average_accuracy for r in runs)
    # Accuracies are multiples of 0.01 % and the paper prints two decimals: compare these.
    return "reproduced" if round(abs(found - expected), 2) <= MARGIN else "not reproduced"


def where(runs: Sequence[Row]) -> str:
    """Hardware, precision and data of some runs."""
    parts = [sorted({getattr(r, key) for r in runs}) for key in ("hardware", "precision")]
    data = sorted({DATA.get(r.dataset, r.dataset) for r in runs})
    return ", ".join(word for words in (*parts, data) for word in words)


def table_2() -> Table:
    """Depth and number of trainable parameters, counted in our networks.

    Source: Table 2, and Table 5 for the original ResNet. Chapter 8.
    """
    sections = {}
    for variant, depths in paper.DEPTHS.items():
        rows = sections[VARIANTS[variant]] = []
        for m, depth in depths.items():
            with torch.device("meta"):
                network = Network(variant, m)
            printed = paper.PARAMETERS[variant][m]
            decimals = len(printed.partition(".")[2])
            ours = f"{network.parameter_count / 1e6:.{decimals}f}"
            same = (network.depth, ours) == (depth, printed)
            rows.append(
                (
                    str(m),
                    f"{network.depth}\npaper: {depth}",
                    f"{network.parameter_count:,}\npaper: {printed}M",
                    "reproduced" if same else "not reproduced",
                )
            )
    return Table("Table 2: depth and parameters", ("m", "depth", "parameters", "verdict"), sections)


def _accuracies(title: str, rows: Sequence[Row], variants: Sequence[str], more: str = "") -> Table:
    """A table of test accuracies; ``more`` is said below it."""
    sections = {}
    cells = [cell for cell in paper.ACCURACY if cell[0] in variants]
    for variant, dataset in cells:
        section = sections[f"{VARIANTS[variant]} on {DATA[dataset]}"] = []
        for m, expected in paper.ACCURACY[variant, dataset].items():
            runs = select(rows, variant, m, dataset)
            ours = percent([r.average_accuracy for r in runs]) if runs else "–"
            seeds = f"\n{len(runs)} seed{'s' if len(runs) > 1 else ''}" if runs else ""
            judged = verdict(runs, expected) + (f"\n{where(runs)}" if runs else "")
            section.append((str(m), f"{expected:.2f}", ours + seeds, judged))
    note = (
        "Test accuracy in percent, mean ± standard deviation over seeds. Reproduced: all "
        f"{PAPER_STEPS:,} steps of Sect. 4 on the paper's images, and the mean within {MARGIN} "
        "points of the paper's."
    )
    return Table(title, ("m", "paper", "ours", "verdict"), sections, note + more)


def table_3(rows: Sequence[Row]) -> Table:
    """Test accuracy of ResNet-D and ResNet-S, averaged over the last 5,000 training steps.

    Args:
        rows: of the ledger, see :func:`~forward_stability.experiments.ledger.read`.

    Source: Table 3. Chapter 13.
    """
    return _accuracies("Table 3: test accuracy", rows, ("D", "S"))


def table_5(rows: Sequence[Row]) -> Table:
    """Test accuracy of the original ResNet, averaged as in Table 3.

    Source: Table 5. Chapter 13.
    """
    more = " The paper quotes He et al., who trained for 64,000 steps with other decays."
    return _accuracies("Table 5: test accuracy of the original ResNet", rows, ["original"], more)


def figure_7(rows: Sequence[Row], folder: Path | None = None) -> tuple[Figure, str]:
    """Test accuracy during the training on CIFAR-10, one curve a seed.

    Args:
        rows: of the ledger.
        folder: of the ledger; default: that of the runs that come with the book.

    Returns:
        the figure and its alternative text. Dashed: the paper's averages of Table 3.

    Source: Fig. 7. Chapter 13.
    """
    folder = folder or results_root()
    fig, axes = figure(2, 1, height=6.2, sharex=True)
    told = []
    for axis, variant in zip(axes, ("D", "S"), strict=True):
        for i, (m, expected) in enumerate(paper.ACCURACY[variant, "cifar10"].items()):
            name = f"m = {m}, the paper's average"
            axis.axhline(expected, color=f"C{i}", ls="--", lw=1, label=name)
            runs = select(rows, variant, m, "cifar10")
            for row in runs:
                history = Run(folder / row.name).history
                steps = [entry["step"] / row.steps for entry in history]
                accuracies = [100 * entry["test_accuracy"] for entry in history]
                short = "" if row.steps == PAPER_STEPS else f" ({row.steps:,} steps)"
                label = f"m = {m}{short}" if row is runs[0] else None
                axis.plot(steps, accuracies, color=f"C{i}", linewidth=1.2, label=label)
            ours = percent([r.average_accuracy for r in runs]) + " %" if runs else "not run"
            told.append(f"{VARIANTS[variant]}, m = {m}: {ours}, paper {expected:.2f} %")
        axis.set(title=VARIANTS[variant], ylabel="test accuracy, %", ylim=(40, 100))
        axis.legend(loc="lower right", fontsize=8)
    axes[-1].set(xlabel="share of the training", xlim=(0, 1))
    alt = "Test accuracy during the training on CIFAR-10, averages at its end: " + "; ".join(told)
    return fig, alt


@cache
def operations(variant: str, blocks: int) -> int:
    """Floating-point operations of a training step of Sect. 4: thrice those forwards."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        Network(variant, blocks)(torch.empty(Config.batch_size, 3, 32, 32))
    return 3 * counter.get_total_flops()


def missing(rows: Sequence[Row]) -> Table:
    """The networks of Tables 3 and 5 without a run of the full protocol, and what they cost.

    The hours are those at the speed (operations a second, evaluations included) of the fastest
    hardware and precision in the ledger.
    """
    work: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    sections: dict[str, list[tuple[str, ...]]] = {}
    absent = []
    for (variant, dataset), accuracies in paper.ACCURACY.items():
        for m in accuracies:
            runs, cost = select(rows, variant, m, dataset), operations(variant, m)
            for row in runs:
                total = work[row.hardware, row.precision]
                total[0] += row.steps * cost
                total[1] += row.seconds
            if not runs or reencoded(runs[0]) or changed(runs[0]):
                absent.append((variant, dataset, m, PAPER_STEPS * cost))
    speeds = {key: done / seconds for key, (done, seconds) in work.items()}
    best = max(speeds, key=lambda key: speeds[key], default=None)

    def hours(cost: float) -> str:
        return f"{cost / speeds[best] / 3600:,.1f}" if best else "–"

    for variant, dataset, m, cost in absent:
        section = sections.setdefault(f"{VARIANTS[variant]} on {DATA[dataset]}", [])
        section.append((str(m), f"{cost / 1e15:,.1f}", hours(cost)))
    total = sum(cost for *_, cost in absent)
    sections["Together"] = [(f"{len(absent)} runs", f"{total / 1e15:,.1f}", hours(total))]
    note = f"One seed each, {PAPER_STEPS:,} steps of {Config.batch_size} images. " + (
        f"Hours on {best[0]} in {best[1]}, one run at a time, at {speeds[best] / 1e12:.2f} TFLOP/s."
        if best
        else "No run on CIFAR to estimate hours from."
    )
    return Table("What is missing", ("m", "PFLOP", "hours"), sections, note)


def every_run(rows: Sequence[Row]) -> Table:
    """Every run of the ledger, to be sorted."""
    lines = []
    for row in rows:
        details = (
            f"{VARIANTS[row.variant]}, m = {row.blocks}, {row.parameters:,} parameters, seed "
            f"{row.seed}",
            ", ".join(f"{key}={value}" for key, value in changed(row).items()) or "as in Sect. 4",
            f"{row.seconds:,.0f} s on {row.hardware}, {row.precision}",
            f"PyTorch {row.torch}, commit {row.commit}",
        )
        lines.append(
            (
                f"{row.name}\n{'; '.join(details)}",
                f"{DATA.get(row.dataset, row.dataset)}\n{row.fingerprint}",
                f"{row.steps:,}",
                f"{100 * row.average_accuracy:.2f}\nof {row.evaluations}; at the end "
                f"{100 * row.final_accuracy:.2f}",
            )
        )
    note = (
        "Accuracy: of the test images, in percent, averaged over the last evaluations. A click on "
        "the head of a column sorts by it."
    )
    return Table("Every run", ("run", "images", "steps", "accuracy"), {"": lines}, note, True)


def other_results(folder: Path | None = None) -> Table:
    """The results that are no runs: each file, the command that makes it, commit and hardware.

    Raises:
        InputError: if a file does not say on what it was made.
    """
    folder, lines = folder or results_root(), []
    for path in sorted(folder.glob("*.json")):
        content = read_json(path)
        try:
            if path.name == evaluation.FILENAME:  # an entry a run
                runs = " ".join(f"results/{name}" for name in content)
                entry = next(iter(content.values()))
                command = f"forward-stability noise {runs} --out results/{path.name}"
                content = {**entry, "command": command}
            environment = content.get("environment", content)
            made = f"{environment['hardware']}\ncommit {environment['commit'][:12]}"
            lines.append((f"{path.name}\n{content['command']}", made))
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(f"{path} does not say its command, hardware and commit") from error
    return Table("Other results", ("file and command", "made on"), {"": lines})
