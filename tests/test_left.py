"""What is left of a sweep: done, begun and not begun."""

import left
import pytest

from forward_stability.experiments import sweep, training
from forward_stability.experiments.runs import Run

FILE = """out = "{out}"
threads = 1
variant = ["S"]
blocks = [1]
dataset = ["digits"]
seed = [0, 1, 2]
[options]
width = 2
batch_size = 4
steps = 4
evaluate_every = 2
"""


def test_a_line_a_run_and_the_hours_together(tmp_path, monkeypatch, capsys):
    file = tmp_path / "sweep.toml"
    file.write_text(FILE.format(out=tmp_path / "out"))
    plan = sweep.read_sweep(file)
    first, second, _ = plan.runs
    for name in (first, second):
        training.train(plan.runs[name], plan.out / name, device="cpu")
    run = Run(plan.out / second)
    trainer = training.Trainer(run.config, run.dataset(), "cpu")
    (run.folder / "weights.safetensors").unlink()
    run.save_checkpoint(trainer.state(), 3)

    monkeypatch.setattr(left, "precisions", lambda device: ["float32", "bfloat16"])
    times = {"float32": 3600.0, "bfloat16": 1800.0}
    monkeypatch.setattr(left, "seconds_a_step", lambda config, *_: times[config.precision])
    assert left.show(plan) == pytest.approx(1 * 1.0 + 4 * 0.5)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1:4] for line in lines] == [["4", "of", "4"], ["3", "of", "4"], ["0", "of", "4"]]
    assert [line[7:] for line in lines] == [[], ["float32", "1.0", "h"], ["bfloat16", "2.0", "h"]]
    before = sorted(plan.out.rglob("*"))
    monkeypatch.undo()
    assert left.seconds_a_step(plan.runs[first], "cpu", 10) > 0
    assert sorted(plan.out.rglob("*")) == before
