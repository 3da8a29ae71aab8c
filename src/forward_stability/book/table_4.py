"""Table 4 of the paper beside ours: accuracies on corrupted images, as a table and as curves.

The paper names one image x0, "a ship"; ours are several. Chapter 14.
"""

from collections.abc import Mapping
from itertools import chain
from statistics import mean, stdev
from typing import Any

from matplotlib.figure import Figure

from forward_stability.book import paper
from forward_stability.book.figures import COLOURS, figure
from forward_stability.book.table import Table
from forward_stability.book.tables import DATA
from forward_stability.models import VARIANTS

MARKERS = "o^Ds"
"""The markers of several trainings."""


def find(entries: Mapping[str, Any], variant: str, blocks: int, dataset: str) -> list[Any]:
    """The entries of a network on a data set and on its re-encoding, the longest training last.

    Trainings that differ in the seed alone are one entry, with the accuracies of all of them.
    """
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for entry in entries.values():
        same = (entry["variant"], entry["blocks"]) == (variant, blocks)
        if same and entry["data"].removesuffix("-jpeg") == dataset:
            first = found.get(_order(entry), {"accuracy": {}, "trainings": 0})
            levels = {k: first["accuracy"].get(k, []) + v for k, v in entry["accuracy"].items()}
            more = {"accuracy": levels, "trainings": first["trainings"] + 1}
            found[_order(entry)] = entry | more
    return sorted(found.values(), key=_order)


def _order(entry: Mapping[str, Any]) -> tuple[int, str]:
    """The shortest training first, and the data set before its re-encoding."""
    return entry["steps"], entry["data"]


def _training_of(entry: Mapping[str, Any]) -> str:
    """Which training of a network an entry belongs to, such as "5,865 steps, JPEG"."""
    several = f", {n} trainings" if (n := entry["trainings"]) > 1 else ""
    return f"{entry['steps']:,} steps" + (", JPEG" if _reencoded(entry) else "") + several


def _reencoded(entry: Mapping[str, Any]) -> bool:
    """Whether a network learnt from the re-encoding of a data set."""
    return entry["data"].endswith("-jpeg")


def spread(fractions: list[float]) -> str:
    """The mean in percent and, below it, the standard deviation of several."""
    values = [100 * fraction for fraction in fractions]
    more = f"\n± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{more}"


def noise_table(entries: Mapping[str, Any], dataset: str = "cifar10") -> Table:
    """Table 4 beside ours: a row of the paper and one of ours for each network."""
    sections: dict[str, list[tuple[str, ...]]] = {}
    for variant, name in VARIANTS.items():
        rows = []
        printed = paper.NOISE.get((variant, dataset), {})
        for m in printed or [3]:
            if m in printed:
                rows.append((f"m = {m}\npaper", *(f"{value:.2f}" for value in printed[m])))
            here = find(entries, variant, m, dataset)
            for entry in here:
                ours = (spread(entry["accuracy"][level]) for level in paper.NOISE_LEVELS)
                rows.append((f"m = {m}\nours, {_training_of(entry)}", *ours))
            if not here:
                rows.append((f"m = {m}\nours", "not run", "", "", "", ""))
        sections[name if printed else f"{name} (not in the paper's table)"] = rows
    found = [e for e in entries.values() if e["data"].removesuffix("-jpeg") == dataset]
    names: list[str] = sorted({e["data"] for e in found}) or [dataset]
    where = " or ".join(DATA.get(name, name) for name in names)
    count = f"{found[0]['test_images']:,} test images of " if found else ""
    header = ("m", "no noise", *paper.NOISE_LEVELS[1:])
    note = (
        f"Test accuracy in percent. Ours: {count}{where}; mean ± standard deviation over seeds of "
        "the noise (σ) or images x0 (ε), and over trainings where there are several."
    )
    return Table("Table 4, the paper's and ours", header, sections, note)


def curves(entries: Mapping[str, Any], dataset: str, blocks: int = 3) -> Figure:
    """Test accuracy against the level of the noise, with the spread; the paper's as crosses.

    If there are several trainings, each has its line: dash-dotted if its images were re-encoded.
    """
    fig, axes = figure(2, 1, height=6.4, sharey=True)
    here = {variant: find(entries, variant, blocks, dataset) for variant in VARIANTS}
    found = sorted(chain.from_iterable(here.values()), key=_order)
    trainings = list(dict.fromkeys(map(_training_of, found)))
    for ax, symbol, label in zip(axes, "σε", ("unstructured", "structured"), strict=True):
        for variant, name in VARIANTS.items():
            for entry in here[variant]:
                at = {level_of(k): v for k, v in entry["accuracy"].items() if k[0] in f"c{symbol}"}
                middle = [100 * mean(v) for v in at.values()]
                low = [m - 100 * min(v) for m, v in zip(middle, at.values(), strict=True)]
                high = [100 * max(v) - m for m, v in zip(middle, at.values(), strict=True)]
                training = _training_of(entry)
                ax.errorbar(
                    list(at), middle, [low, high], capsize=3, color=COLOURS[name],
                    marker=MARKERS[trainings.index(training) % len(MARKERS)],
                    ls="-." if _reencoded(entry) else "-",
                    label=name + (f", {training}" if len(trainings) > 1 else ""),
                )  # fmt: skip
            printed = paper.NOISE.get((variant, dataset), {}).get(blocks)
            if printed is not None:
                points = dict(zip(paper.NOISE_LEVELS, printed, strict=True))
                points = {level_of(k): v for k, v in points.items() if k[0] in f"c{symbol}"}
                ax.plot(
                    list(points), list(points.values()), "x--", ms=9, lw=1, color=COLOURS[name],
                    label=f"{name}, paper",
                )  # fmt: skip
        ax.set(ylim=(0, 100), xlabel=f"{label} noise, {symbol}", ylabel="accuracy (%)")
        ax.set_xlim(0, 0.102 if symbol == "σ" else 0.77)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", fontsize=9)
    return fig


def level_of(name: str) -> float:
    """The number in "σ = 0.02"; 0 for "clean"."""
    return 0.0 if name == "clean" else float(name.split(" = ")[1])
