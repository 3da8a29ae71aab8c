"""The certified hour: which entries are let in, and how they stand."""

from copy import deepcopy
from dataclasses import replace

import pytest

from forward_stability.book import contest
from forward_stability.errors import InputError
from forward_stability.experiments import ledger
from forward_stability.experiments.config import Beyond, Config
from forward_stability.experiments.radii import RADII

CERTIFICATE = {
    "network": "ResNet-S, m = 1", "hypotheses_hold": True, "test_images": 10_000, "clean": 0.6,
    "radii": list(RADII), "certified": [0.45, 0.3, 0.2], "search": {"successes": 0, "attacked": 7},
    "attack": {"images": 1_000, "inside_certified_radius": {"successes": 0, "attacked": 5}},
}  # fmt: skip


@pytest.fixture(scope="module")
def row() -> ledger.Row:
    """A row of the ledger, changed to one that keeps to the rules."""
    known = {"dataset": "cifar10", "parameters": 400_000, "seconds": 3600.0}
    return replace(ledger.read()[0], **known, final_accuracy=0.6, changes="", blocks=2)


def entry(row):
    """What :func:`check_rules` reads of three trainings; one alone is attacked on 1,000 images."""
    rows = [replace(row, seed=seed) for seed in range(3)]
    certificates = [deepcopy(CERTIFICATE) for _ in rows]
    for certificate in certificates[1:]:
        certificate["attack"]["images"] = 100
    return rows, certificates, [{"device": "cpu", "threads": "2"} for _ in rows]


def test_an_entry_on_the_edge_of_every_rule_is_let_in(row):
    contest.check_rules("x", *entry(row))


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("at least 3 trainings", None),
        ("trainings that differ in the seed alone", {"changes": "steps=3"}),
        ("trainings that differ in the seed alone", {"blocks": 3}),
        ("trainings that differ in the seed alone", {"variant": "another"}),
        ("the original images of CIFAR-10", {"dataset": "cifar10-jpeg"}),
        ("at most 400,000 parameters", {"parameters": 400_001}),
        ("at most 60 minutes", {"seconds": 3600.1}),
        ("at most 2 cores", {"device": "cuda"}),
        ("at most 2 cores", {"threads": "3"}),
        ("hypotheses that hold", {"hypotheses_hold": False}),
        ("radii of 10,000 images", {"test_images": 9_999}),
        ("radii of the weights that are stored", {"clean": 0.61}),
        ("an attack on 1,000 images", {"attack": {"images": 999}}),
        ("no attack that succeeds", {"search": {"successes": 1}}),
        ("no attack that succeeds", {"attack": {"inside_certified_radius": {"successes": 1}}}),
    ],
)
def test_the_rule_that_is_broken_is_named(row, rule, changes):
    rows, certificates, environments = entry(row)
    if changes is None:
        rows, certificates, environments = rows[:2], certificates[:2], environments[:2]
    for name, value in (changes or {}).items():
        if hasattr(row, name) and name != "device":
            rows[0] = replace(rows[0], **{name: value})
        elif name in environments[0]:
            environments[0][name] = value
        elif isinstance(value, dict):
            certificates[0][name] |= value
            certificates[0][name].setdefault("inside_certified_radius", {"successes": 0})
        else:
            certificates[0][name] = value
    with pytest.raises(InputError, match=f"hour/x breaks a rule of the contest: {rule}"):
        contest.check_rules("x", rows, certificates, environments)


def test_a_seed_is_counted_once(row):
    rows, *others = entry(row)
    with pytest.raises(InputError, match="counted twice"):
        contest.check_rules("x", [rows[0], *rows[:2]], *others)


def test_only_layers_of_the_paper_are_within_the_theorem(row):
    def within(**options):
        return contest.Entry(
            "x", [row], [CERTIFICATE], Config(variant="S").changed(**options)
        ).within

    kept = {"constraint": "theorem", "pooling": "unshuffling"}
    assert within(**kept, lift=1.0)
    assert not within(**kept, layers="maxmin")
    assert not within(**kept, outer="none")
    assert not within(**kept, variant="D")


def test_the_standings_are_means_over_the_trainings(row):
    rows, certificates, _ = entry(row)
    certificates[0]["certified"] = [0.48, 0.3, 0.2]
    config = Config(variant="S", blocks=1, width=2, steps=10, batch_size=4)
    options = {"constraint": "theorem"}
    first = contest.Entry("mine", rows, certificates, config.changed(**options))
    second = replace(first, name="open", config=config.changed(outer="none", **options))
    table = contest.standings([first, second])
    assert list(table.sections) == ["Within the theorem", "Open"]
    assert table.rows[0][0] == "mine\nResNet-S, m = 1, 400,000 weights, 60 min, 0 TFLOP"
    assert "30 images by gradients, 42 by random search; none with success" in table.note
    assert list(table.rows[0][1:]) == ["60.0 ± 0.0", "46.0 ± 1.7", "30.0 ± 0.0", "20.0 ± 0.0"]


def test_operations_of_a_step_are_those_of_its_convolutions():
    """Thrice those forwards, of which the first convolution needs no gradient of the images."""
    config = Config(variant="S", blocks=1, width=2, batch_size=8, beyond=Beyond(head="flattened"))
    found, pixels = contest.operations(config), 8 * 32 * 32
    first, residual = 2 * pixels * 9 * 3 * 2, 2 * 2 * pixels * 9 * 2 * 2
    pools = [2 * pixels // 4**k * 9 * 2**k * 2 ** (k + 1) for k in (1, 2)]
    classifier = 2 * 8 * 8 * 8 * 8 * 10
    assert found == 3 * (residual + sum(pools) + classifier) + 2 * first


def test_the_entries_of_the_book_keep_to_the_rules():
    found = contest.entries(ledger.read())
    assert [e.within for e in found] == sorted((e.within for e in found), reverse=True)
