"""The networks side by side: means, spreads, and what they can show."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy import stats
from test_tables import ROW

from forward_stability.book import comparison, paper
from forward_stability.book.tables import percent
from forward_stability.errors import InputError
from forward_stability.experiments import ledger
from forward_stability.experiments.provenance import results_root
from forward_stability.models import VARIANTS


def row(variant="D", seed=0, **more):
    known = {"variant": variant, "seed": seed, "steps": 5_865, "name": f"{variant}{seed}"}
    return replace(ROW, **({"changes": "steps=5865"} | known | more))


def entry(*values, x0=None):
    levels = {level: list(values) for level in paper.NOISE_LEVELS}
    return {"x0": x0 or list(range(len(values))), "accuracy": levels}


def test_trainings_that_differ_in_the_network_alone_stand_side_by_side():
    rows = [
        row("S", 1, final_accuracy=0.78),
        row("S", 0, final_accuracy=0.77),
        row("D", precision="bfloat16", changes="steps=5865 precision=bfloat16"),
        row("original", name="o"),
        row("S", blocks=6, name="deep"),
        row("S", 2, dataset="cifar10-jpeg"),
        row("S", 3, steps=93_500, changes=""),
        row("S", 4, changes="steps=5865 momentum=0.0"),
    ]
    entries = {
        "S0": entry(0.7, 0.5, 0.9, x0=[4, 5, 6]),
        "S1": entry(0.62, 0.62, 0.1, x0=[5, 4, 7]),
        "o": entry(0.25, 0.25, x0=[4, 5]),
        "another network": entry(0.0, x0=[9]),
    }
    found = comparison.networks(rows, entries)
    names = ["ResNet, m = 3", "ResNet-D, m = 3", "ResNet-S, m = 3", "ResNet-S, m = 6"]
    assert [network.name for network in found] == names
    assert [r.seed for r in found[2].rows] == [1, 0]
    assert found[2].accuracy["ε = 0.25"] == pytest.approx([0.62, 0.6])  # x0 = 4, 5
    assert found[2].accuracy["σ = 0.05"] == pytest.approx([1.34 / 3, 0.7])
    assert found[1].accuracy == {}
    assert comparison.networks(rows[:2], {"S0": entry(0.7)})[0].accuracy["σ = 0.02"] == [0.7]
    elsewhere = comparison.networks(rows[1:3], {"S0": entry(0.7), "D0": entry(0.6, x0=["other"])})
    assert [list(network.accuracy) for network in elsewhere] == [
        ["clean", "σ = 0.02", "σ = 0.05"]
    ] * 2
    table = comparison.table(found)
    spread = f"± {100 * sqrt(0.5) * 0.01:.2f}"
    assert table.rows[2][0] == "ResNet-S, m = 3\n2 trainings"
    assert table.rows[2][1].endswith("GFLOP a step")
    assert table.rows[2][2] == f"77.50 {spread}"
    assert table.rows[2][5] == f"61.00 ± {100 * sqrt(0.5) * 0.02:.2f}"
    assert table.rows[1][3:] == ("–",) * 4
    assert list(table.sections) == ["CIFAR-10, 5,865 steps"]


def test_a_seed_is_not_counted_twice():
    with pytest.raises(InputError, match="D0 and again are one experiment"):
        comparison.networks([row(), row(name="again", precision="bfloat16")], {})


def test_the_detectable_difference_is_where_the_t_test_of_scipy_turns():
    random = np.random.default_rng(0)
    for n1, n2 in ((3, 3), (2, 5), (4, 3)):
        a, b = random.normal(size=n1), random.normal(size=n2)
        needed = comparison.detectable(list(a), list(b))
        a += needed - (a.mean() - b.mean())
        for factor, significant in ((1 + 1e-9, True), (1 - 1e-9, False)):
            moved = a + (factor - 1) * needed
            assert (stats.ttest_ind(moved, b).pvalue < 0.05) == significant


def test_a_lead_is_called_chance_unless_the_t_test_calls_it_significant():
    rows = [row(v, seed) for v in ("original", "D", "S") for seed in (0, 1, 2)]
    shifts = {"original": 0.0, "D": -0.03, "S": 0.001}
    entries = {r.name: entry(0.7 + shifts[r.variant] + 0.002 * r.seed, x0=["a"]) for r in rows}
    table = comparison.leads(comparison.networks(rows, entries))
    least = comparison.detectable([70.0, 70.2, 70.4], [0.0, 0.2, 0.4])
    assert table.rows == [
        ("ResNet-D, m = 3", *[f"3.0\nahead: {least:.1f}"] * 5),
        ("ResNet-S, m = 3", *[f"−0.1\nchance: {least:.1f}"] * 5),
    ]
    entries |= {f"S{seed}": entry(0.8, x0=["a"]) for seed in (0, 1, 2)}
    table = comparison.leads(comparison.networks(rows, entries))
    assert table.rows[1][1].startswith("−9.8\nbehind: 0.")
    assert table.note is not None
    assert table.note.endswith("Trainings: 3, 3, 3.")


@pytest.mark.parametrize("page", ["README.md", "book/summary.md"])
def test_the_headline_is_that_of_the_table(page):
    found = comparison.networks(ledger.read(), {})
    said = (
        f"{VARIANTS[n.variant]} {percent([r.final_accuracy for r in n.rows])} %"
        for n in found
        if n.blocks == 3
    )
    text = (results_root().parent / page).read_text("utf-8")
    assert ", ".join(said) in " ".join(text.split())
