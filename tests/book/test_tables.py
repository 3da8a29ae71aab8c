"""The tables follow from the ledger."""

import json
from dataclasses import replace

import numpy as np
import pytest

from forward_stability import cli
from forward_stability.book import paper, tables
from forward_stability.errors import InputError
from forward_stability.experiments.ledger import Row
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import MEASURED

ROW = Row(
    name="cifar10-D-m3-seed0",
    variant="D",
    blocks=3,
    dataset="cifar10",
    fingerprint="0" * 12,
    seed=0,
    steps=93_500,
    precision="float32",
    changes="",
    parameters=222_970,
    final_accuracy=0.88,
    average_accuracy=0.8881,
    evaluations=10,
    seconds=1000.0,
    device="cuda",
    hardware="GPU",
    torch="2",
    commit="c",
    command="",
)

SHORT = replace(
    ROW, name="short", steps=5_865, changes="steps=5865 evaluate_every=391", average_accuracy=0.8
)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ROW, "reproduced"),
        (replace(ROW, average_accuracy=0.8731), "reproduced"),  # 1.5 points below
        (replace(ROW, average_accuracy=0.8730), "not reproduced"),
        (replace(ROW, average_accuracy=0.9032), "not reproduced"),
        (replace(ROW, final_accuracy=0.5), "reproduced"),  # the average counts
        (SHORT, "shortened run: 5,865 steps"),
        (replace(SHORT, average_accuracy=0.8881), "shortened run: 5,865 steps"),
        (replace(ROW, precision="bfloat16", changes="precision=bfloat16"), "reproduced"),
        (replace(ROW, changes="precision=bfloat16 momentum=0.0"), "no verdict: momentum=0.0"),
        (replace(ROW, dataset="cifar10-jpeg"), "no verdict: other images"),
    ],
)
def test_verdicts(row, expected):
    assert tables.verdict([row], 88.81) == expected


def first_row(rows):
    return tables.table_3(rows).rows[0]


def test_several_seeds_give_mean_and_standard_deviation():
    rows = [replace(ROW, seed=s, average_accuracy=a) for s, a in enumerate((0.87, 0.88, 0.90))]
    expected = np.array([87.0, 88.0, 90.0])
    ours = f"{expected.mean():.2f} ± {expected.std(ddof=1):.2f}\n3 seeds"
    assert first_row(rows) == ("3", "88.81", ours, "reproduced\nGPU, float32, CIFAR-10")


def test_a_shortened_run_is_never_mixed_with_one_of_the_full_protocol():
    assert first_row([SHORT])[2:] == (
        "80.00\n1 seed",
        "shortened run: 5,865 steps\nGPU, float32, CIFAR-10",
    )
    for rows in ([SHORT, ROW], [ROW, SHORT]):
        assert first_row(rows) == first_row([ROW])
        assert first_row(rows)[2] == "88.81\n1 seed"


def test_runs_of_other_kinds_are_not_shown():
    for other in (
        replace(ROW, dataset="digits"),
        replace(ROW, changes="momentum=0.0"),
        replace(ROW, changes="width=8"),
        replace(SHORT, changes="steps=5865 decay_every=4000"),
    ):
        assert first_row([other])[2:] == ("–", "not run")
        assert first_row([other, ROW])[2] == "88.81\n1 seed"


def test_the_data_set_itself_goes_before_its_re_encoding():
    jpeg = replace(ROW, dataset="cifar10-jpeg", average_accuracy=0.5)
    verdict = "no verdict: other images\nGPU, float32, CIFAR-10, JPEG re-encoding"
    assert first_row([jpeg])[3] == verdict
    assert first_row([jpeg, ROW]) == first_row([ROW])
    assert first_row([jpeg, SHORT]) == first_row([SHORT])
    assert len(tables.missing([jpeg]).rows) == 20 + 1


def test_seeds_in_another_precision_are_seeds():
    other = replace(ROW, seed=1, precision="bfloat16", changes="precision=bfloat16")
    assert first_row([ROW, other])[2] == "88.81 ± 0.00\n2 seeds"
    assert first_row([ROW, other])[3] == "reproduced\nGPU, bfloat16, float32, CIFAR-10"


def test_a_seed_is_not_counted_twice():
    with pytest.raises(InputError, match="cifar10-D-m3-seed0 and copy are one experiment"):
        tables.table_3([ROW, replace(ROW, name="copy", precision="bfloat16")])


def test_tables_without_runs_say_so():
    for table, count in ((tables.table_3([]), 16), (tables.table_5([]), 4)):
        assert [row[2:] for row in table.rows] == [("–", "not run")] * count


def test_table_2_counts_and_finds_the_erratum():
    table = tables.table_2()
    not_reproduced = [row for row in table.rows if row[3] != "reproduced"]
    assert [row[2] for row in not_reproduced] == ["1,095,898\npaper: 1.100M"]
    # Counted by hand: filters, batch normalisations that have γ and β, the classifier.
    filters = 9 * (3 * 16 + 3 * 2 * 16**2 + 16 * 32 + 2 * 2 * 32**2 + 32 * 64 + 2 * 2 * 64**2)
    norms = 2 * (16 + 3 * 16 + 32 + 2 * 32 + 64 + 2 * 64)
    assert table.rows[0][2].startswith(f"{filters + norms + 64 * 10 + 10:,}\n")


def test_operations_are_those_of_convolutions_and_classifier():
    """Multiplications and additions of every filter at every place that it is applied to."""
    widths, sizes = (16, 32, 64), (32, 16, 8)
    count = 3 * 16 * 9 * 32**2 + 64 * 10
    for stage, (d, size) in enumerate(zip(widths, sizes, strict=True)):
        count += 2 * (3 - (stage > 0)) * d * d * 9 * size**2
        count += (d // 2) * d * 9 * size**2 if stage else 0
    assert tables.operations("D", 3) == tables.operations("S", 3) == 3 * 128 * 2 * count


def test_what_is_missing_and_its_price():
    table = tables.missing([SHORT])
    assert len(table.rows) == 20 + 1
    cost = 93_500 * tables.operations("D", 3)
    hours = SHORT.seconds * 93_500 / 5_865 / 3600  # at the speed of the short run
    assert table.rows[0] == ("3", f"{cost / 1e15:,.1f}", f"{hours:,.1f}")
    assert "GPU in float32" in table.note
    assert len(tables.missing([ROW]).rows) == 19 + 1
    assert tables.missing([]).rows[0][2] == "–"


def test_figure_7_draws_the_histories(tmp_path):
    (tmp_path / "seed0").mkdir()
    (tmp_path / "seed0" / "config.json").write_text("{}")
    history = [
        dict.fromkeys(MEASURED, 1) | {"step": s, "test_accuracy": a}
        for s, a in ((2, 0.25), (4, 0.5), (6, 0.875))
    ]
    (tmp_path / "seed0" / "history.jsonl").write_text("\n".join(map(json.dumps, history)))
    figure, alt = tables.figure_7([replace(ROW, name="seed0", steps=6)], tmp_path)
    curve = figure.axes[0].get_lines()[1]
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend[:2] == ["m = 3, the paper's average", "m = 3 (6 steps)"]
    np.testing.assert_allclose(curve.get_xdata(), [1 / 3, 2 / 3, 1], rtol=1e-15)
    np.testing.assert_allclose(curve.get_ydata(), [25, 50, 87.5], rtol=1e-15)
    assert "ResNet-D, m = 3: 88.81 %, paper 88.81 %" in alt
    assert "ResNet-S, m = 12: not run, paper 89.09 %" in alt


def test_other_results_name_command_commit_and_hardware(tmp_path):
    content = {
        "command": "python studies/speed.py",
        "environment": {"hardware": "CPU", "commit": "0123456789abcdef"},
    }
    (tmp_path / "speed.json").write_text(json.dumps(content))
    assert tables.other_results(tmp_path).rows == [
        ("speed.json\npython studies/speed.py", "CPU\ncommit 0123456789ab")
    ]
    (tmp_path / "speed.json").write_text("[]")
    with pytest.raises(InputError, match=r"speed\.json does not say its command"):
        tables.other_results(tmp_path)


def test_commands_of_other_results_are_there():
    for row in tables.other_results().rows:
        program, *words = row[0].split()[1:]
        if program == "python":
            assert (results_root().parent / words[0]).is_file(), words[0]
        else:
            assert program == "forward-stability"
            cli.build_parser(words[0]).parse_args(words)


def test_the_margin_is_wider_than_the_gain_that_the_page_names():
    column = paper.ACCURACY["S", "cifar10"]
    assert column[12] - column[3] < tables.MARGIN
