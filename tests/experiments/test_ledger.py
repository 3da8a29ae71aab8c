"""The ledger follows from the run folders, and the tables from the ledger."""

import csv
import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from forward_stability import cli
from forward_stability.book import paper, tables
from forward_stability.book.table import Table
from forward_stability.errors import InputError
from forward_stability.experiments import ledger, training
from forward_stability.experiments.config import Config
from forward_stability.experiments.ledger import FILENAME, Row
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import Run
from forward_stability.models import Network

CONFIG = Config(variant="D", blocks=1, width=2, steps=6, batch_size=4, evaluate_every=2)

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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of two runs on ten images, and the runs."""
    folder = tmp_path_factory.mktemp("ledger")
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in ("a", "b"):
            (folder / "images" / split / label).mkdir(parents=True)
            for i in range(5):
                pixels = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "images" / split / label / f"{i}.png")
    config = replace(CONFIG, dataset=f"imagefolder:{folder / 'images'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORWARD_STABILITY_DATA", str(folder / "root"))
        for seed in (0, 1):
            training.train(replace(config, seed=seed), folder / "runs" / f"seed{seed}")
    return folder / "runs"


@pytest.fixture
def runs(trained, tmp_path):
    """A copy of that folder."""
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs"


def test_a_row_says_what_the_run_folder_says(runs):
    row = ledger.write(runs)[1]
    run = Run(runs / "seed1")
    accuracies = [entry["test_accuracy"] for entry in run.history]
    assert (row.name, row.variant, row.blocks, row.seed, row.steps) == ("seed1", "D", 1, 1, 6)
    assert row.final_accuracy == pytest.approx(accuracies[-1], abs=1e-6)
    assert row.parameters == sum(p.numel() for p in run.network().parameters())
    assert row.changes == "width=2 steps=6 batch_size=4 evaluate_every=2"
    assert row.device == "cpu"
    assert run.info["data"]["fingerprint"].startswith(row.fingerprint)
    assert str(runs.parent) not in (runs / FILENAME).read_text()  # no path of this machine


def test_the_command_of_a_row_trains_the_same_run(runs, trained, monkeypatch, tmp_path):
    monkeypatch.setenv("FORWARD_STABILITY_DATA", str(tmp_path / "root"))
    command = ledger.write(runs)[1].command.replace("DIR", str(trained.parent / "images"))
    assert cli.main([*command.split()[1:], "--out", str(tmp_path / "again")]) == 0
    again, first = Run(tmp_path / "again").network(), Run(runs / "seed1").network()
    for a, b in zip(again.parameters(), first.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_is_written_is_read(runs):
    rows = ledger.write(runs)
    assert [row.name for row in rows] == ["seed0", "seed1"]
    assert ledger.read(runs) == rows
    with (runs / FILENAME).open(newline="") as file:
        written = list(csv.DictReader(file))
    assert written == [{k: str(v) for k, v in asdict(row).items()} for row in rows]


def test_runs_at_any_depth_and_unfinished_ones_left_out(runs):
    (runs / "deep").mkdir()
    (runs / "seed1").rename(runs / "deep" / "seed1")
    (runs / "seed0" / "weights.safetensors").unlink()
    assert [row.name for row in ledger.write(runs)] == ["deep/seed1"]


def break_json(folder):
    path = folder / "run.json"
    path.write_text(path.read_text()[:40])


def break_history(folder):
    path = folder / "history.jsonl"
    path.write_text(path.read_text()[:-20])


def shorten_history(folder):
    path = folder / "history.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def forget_result(folder):
    info = json.loads((folder / "run.json").read_text())
    del info["result"]
    (folder / "run.json").write_text(json.dumps(info))


def mistype_config(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"steps": 6', '"steps": "six"'))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_json, "run.json is not valid JSON"),
        (break_history, "history.jsonl is not valid JSON"),
        (shorten_history, "the history does not end at step 6"),
        (forget_result, "lacks 'result'"),
        (mistype_config, "steps must be of type int, got 'six'"),
    ],
)
def test_a_damaged_run_folder_is_named_and_the_others_are_kept(runs, damage, words):
    damage(runs / "seed0")
    with pytest.raises(InputError, match=f"left out of .*ledger.csv: .*{words}"):
        ledger.write(runs)
    assert [line.split(",")[0] for line in (runs / FILENAME).read_text().splitlines()[1:]] == [
        "seed1"
    ]
    with pytest.raises(InputError, match=words):
        ledger.read(runs)


def test_the_command_line_writes_the_ledger(runs, capsys):
    assert cli.main(["ledger", str(runs)]) == 0
    assert capsys.readouterr().out == f"{runs / FILENAME}: 2 runs\n"
    break_history(runs / "seed1")
    assert cli.main(["ledger", str(runs)]) == 2
    assert "seed1/history.jsonl" in capsys.readouterr().err
    assert cli.main(["ledger", str(runs / "nowhere")]) == 2
    assert "nowhere is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(variant="S", blocks=9, dataset="cifar100", seed=4), {}),
        (Config(steps=9350), {"steps": 9350}),  # the decay is scaled
        (Config(epochs=15), {"steps": 5865}),
        (Config(steps=9350, decay_every=32_000), {"steps": 9350, "decay_every": 32_000}),
        (Config(decay_every=30_000), {"decay_every": 30_000}),
        (Config(momentum=0.0, width=8), {"momentum": 0.0, "width": 8}),
    ],
)
def test_what_differs_from_the_protocol(config, expected):
    assert ledger.changes(config.resolved(50_000)) == expected


def test_the_average_of_the_paper_is_over_ten_evaluations():
    history = [{"step": s, "test_accuracy": s / 1e5} for s in range(500, 94_000, 500)]
    average, count = ledger.average_accuracy(history, 93_500)
    assert count == 10  # steps 89,000, 89,500, ..., 93,500
    assert average == pytest.approx(0.9125, rel=1e-12)


def test_a_short_training_is_averaged_over_the_same_share_and_at_least_its_end():
    history = [{"step": s, "test_accuracy": s / 1e5} for s in range(50, 9_400, 50)]
    average, count = ledger.average_accuracy(history, 9_350)
    assert (count, average) == (10, pytest.approx(0.09125, rel=1e-12))
    assert ledger.average_accuracy([{"step": 6, "test_accuracy": 0.5}], 6) == (0.5, 1)


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
        (
            replace(ROW, precision="bfloat16", changes="precision=bfloat16"),
            "no verdict: precision=bfloat16",
        ),
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
    assert first_row([jpeg])[3] == "not reproduced\nGPU, float32, CIFAR-10, JPEG re-encoding"
    assert first_row([jpeg, ROW]) == first_row([ROW])


def test_a_seed_is_not_counted_twice():
    with pytest.raises(InputError, match="cifar10-D-m3-seed0 and copy are one experiment"):
        tables.table_3([ROW, replace(ROW, name="copy")])


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


def test_the_page_shows_each_cell_and_escapes_it():
    table = Table("T", ("a", "b"), {"S": [("1 < 2", "first\nsecond & last")]}, "note")
    page = table._repr_html_()
    for part in (
        "<caption>T</caption>",
        '<th scope="col">a</th>',
        '<th scope="rowgroup" colspan="2">S</th>',
        "<td>1 &lt; 2</td>",
        "<td>first<br><small>second &amp; last</small></td>",
        '<p class="note">note</p>',
    ):
        assert part in page
    assert repr(table) == "T\na | b\nS\n1 < 2 | first; second & last\nnote"


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


def test_figure_7_draws_the_histories(runs):
    rows = [replace(ROW, name="seed0", steps=6)]
    figure, alt = tables.figure_7(rows, runs)
    curve = figure.axes[0].get_lines()[1]
    history = Run(runs / "seed0").history
    np.testing.assert_allclose(curve.get_xdata(), [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.get_ydata(), [100 * e["test_accuracy"] for e in history])
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


def test_the_numbers_of_the_paper_are_complete():
    """Table 3 has four depths a column; depths are those that its text gives, 6m and 3m + 2."""
    assert {len(column) for column in paper.ACCURACY.values()} == {4}
    for variant, depths in paper.DEPTHS.items():
        assert depths.keys() == paper.PARAMETERS[variant].keys()
        for m, depth in depths.items():
            assert depth == {"D": 6 * m, "S": 3 * m + 2, "original": 6 * m + 2}[variant]
            assert depth == Network(variant, m, width=1).depth


def test_the_margin_is_wider_than_the_gain_that_the_page_names():
    column = paper.ACCURACY["S", "cifar10"]
    assert column[12] - column[3] < tables.MARGIN
