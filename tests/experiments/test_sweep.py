"""Sweeps: nothing twice, nothing lost, whatever is killed."""

import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from filelock import BaseFileLock, FileLock

from forward_stability import cli
from forward_stability.experiments import ledger, sweep
from forward_stability.experiments.config import Config
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.training import train

FILE = """
out = "out"
jobs = {jobs}
threads = 1
device = "cpu"
variant = ["D", "S"]
blocks = [1]
dataset = ["digits"]
seed = {seed}
[options]
width = 2
batch_size = 8
steps = {steps}
evaluate_every = 20
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Make a sweep file in a temporary folder, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def make(jobs=1, seed=(0,), steps=2, edit=lambda text: text):
        path = tmp_path / "sweep.toml"
        path.write_text(edit(FILE.format(jobs=jobs, seed=list(seed), steps=steps)))
        return path

    return make


def test_the_file_spans_all_combinations(plan):
    text = 'blocks = [1, 2]\ndataset = ["digits", "mnist"]'
    path = plan(seed=(0, 5), edit=lambda s: s.replace('blocks = [1]\ndataset = ["digits"]', text))
    found = sweep.read_sweep(path)
    assert len(found.runs) == 16
    config = Config("S", 2, 2, "mnist", 5, steps=2, batch_size=8, evaluate_every=20)
    assert found.runs["mnist-S-m2-seed5"] == config
    assert (found.out, found.jobs, found.threads, found.device) == (Path("out"), 1, 1, "cpu")


def test_the_files_of_the_repository_hold_the_networks_of_the_paper():
    folder = results_root().parent / "sweeps"
    runs = {
        name: config.resolved(50_000)
        for file in ("paper.toml", "original.toml")
        for name, config in sweep.read_sweep(folder / file).runs.items()
    }
    assert len(runs) == 16 + 4
    assert all(ledger.changes(config) == {} for config in runs.values())
    assert len(sweep.read_sweep(folder / "digits.toml").runs) == 4


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = ", "seeds = ", "unknown keys: seeds; known: blocks, dataset, seed, variant"),
        ("width = 2", "depth = 2", "unknown options: depth; known: alpha, batch_size"),
        ("width = 2", "seed = 2", "unknown options: seed"),
        ("width = 2", 'width = "2"', "width must be of type int, got '2'"),
        ("width = 2", "width = 0", "width must be at least 1, got 0"),
        ("blocks = [1]", "blocks = 1", "blocks must be a list of at least one value, got 1"),
        ("blocks = [1]", "blocks = []", "blocks must be a list of at least one value"),
        ("blocks = [1]", "blocks = [true]", "blocks must be of type int, got True"),
        ("blocks = [1]", "blocks = [1, 1]", "two runs have the name digits-D-m1-seed0"),
        ('["digits"]', '["imagefolder:a", "imagefolder:b"]', "two runs have the name imagefolder"),
        ('["D", "S"]', '["D", "R"]', "unknown variant 'R'"),
        ("jobs = 1", "jobs = 0", "jobs must be at least 1, got 0"),
        ("jobs = 1", 'jobs = "all"', "jobs must be of type int, got 'all'"),
        ("threads = 1", "threads = 0", "threads must be at least 1, got 0"),
        ("jobs = 1", f"jobs = {2**64}", f"jobs must be at most 1024, got {2**64}"),
        ("threads = 1", "threads = 1025", "threads must be at most 1024, got 1025"),
        ('["digits"]', '["imagenet"]', "unknown data set 'imagenet': choose digits"),
        ('out = "out"', 'out = " "', "out must be the path of a folder, got ' '"),
        ('out = "out"', 'out = "a\\u0000"', "out must be the path of a folder, got 'a\\x00'"),
        ("[options]", "[options", "is not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_and_the_key_named(plan, capsys, old, new, words):
    path = plan(edit=lambda text: text.replace(old, new))
    assert cli.main(["sweep", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"forward-stability: error: {path}")
    assert words in captured.err
    assert not Path("out").exists()


@pytest.mark.parametrize("out", ["file", "loop", "file/out"])
def test_a_folder_that_cannot_be_made_is_said_before_any_run(plan, capsys, out):
    path = plan(edit=lambda text: text.replace('out = "out"', f'out = "{out}"'))
    Path("file").touch()
    Path("loop").symlink_to("loop")
    assert cli.main(["sweep", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"forward-stability: error: cannot write to {out}: ")
    assert captured.err.count("\n") == 1


def test_a_missing_file_is_said(capsys):
    assert cli.main(["sweep", "nowhere.toml"]) == 2
    assert "nowhere.toml is missing" in capsys.readouterr().err


def test_a_failed_run_is_reported_and_the_others_go_on(plan, capsys):
    path = plan(edit=lambda text: text.replace('["digits"]', '["imagefolder:x", "digits"]'))
    assert cli.main(["sweep", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "1/4 imagefolder-D-m1-seed0: failed",
        "2/4 digits-D-m1-seed0: done",
        "3/4 imagefolder-S-m1-seed0: failed",
        "4/4 digits-S-m1-seed0: done",
        "out/ledger.csv: 2 runs",
    ]
    assert captured.err.count("x/train is missing") == 2
    assert [row.name for row in ledger.read(Path("out"))] == [
        "digits-D-m1-seed0",
        "digits-S-m1-seed0",
    ]


def test_a_second_call_trains_only_what_is_missing(plan, capsys):
    path = plan()
    assert cli.main(["sweep", str(path)]) == 0
    first = {p: p.stat().st_mtime_ns for p in Path("out").rglob("weights.safetensors")}
    assert len(first) == 2
    missing = Path("out/digits-S-m1-seed0/weights.safetensors")
    missing.unlink()
    capsys.readouterr()
    assert cli.main(["sweep", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "1/2 digits-D-m1-seed0: done",
        "2/2 digits-S-m1-seed0: done",
    ]
    second = {p: p.stat().st_mtime_ns for p in Path("out").rglob("weights.safetensors")}
    assert {p for p in first if first[p] != second[p]} == {missing}


def test_a_run_of_another_configuration_in_the_way_is_reported(plan, capsys):
    assert cli.main(["sweep", str(plan())]) == 0
    capsys.readouterr()
    assert cli.main(["sweep", str(plan(steps=3))]) == 1
    assert capsys.readouterr().err.count("holds a run of another configuration: steps is 2") == 2


def test_a_damaged_run_folder_is_reported(plan, capsys):
    path = plan()
    assert cli.main(["sweep", str(path)]) == 0
    damaged = Path("out/digits-D-m1-seed0/run.json")
    damaged.write_text("{")
    capsys.readouterr()
    assert cli.main(["sweep", str(path)]) == 1
    error = capsys.readouterr().err
    assert "digits-D-m1-seed0: " in error
    assert f"{damaged} is not valid JSON" in error
    rows, _ = ledger.scan(Path("out"))
    assert [row.name for row in rows] == ["digits-S-m1-seed0"]


def test_a_run_that_kills_its_process_is_found_and_the_others_are_trained(plan, monkeypatch):
    """Processes imitated: those that are running when one is killed are lost with it."""
    runs = sweep.read_sweep(plan(seed=range(4))).runs
    killer, done, calls = list(runs)[2], set(), []

    def share(_sweep, _out, names, _backend):
        calls.append(names)
        for name in names:
            if name == killer:
                raise BrokenExecutor
            done.add(name)
            yield name, None

    monkeypatch.setattr(sweep, "_share", share)
    monkeypatch.setattr(sweep, "is_done", lambda folder, _config: folder.name in done)
    outcomes = list(sweep.run_sweep(sweep.read_sweep(plan(seed=range(4)))))
    assert sorted(name for name, _ in outcomes) == sorted(runs)
    failed = [(name, failure) for name, failure in outcomes if failure]
    assert failed == [(killer, "its process was killed (BrokenExecutor)")]
    assert [len(names) for names in calls] == [8, 6, 1, 5]  # all; again; the one; the others


def test_a_worker_whose_disk_is_another_one_is_noticed(plan, monkeypatch):
    monkeypatch.setattr(sweep, "_share", lambda _s, _o, names, _b: [(n, None) for n in names])
    outcomes = dict(sweep.run_sweep(sweep.read_sweep(plan())))
    assert len(outcomes) == 2
    assert all("its worker does not see this folder" in str(f) for f in outcomes.values())


def test_who_is_given_a_run_that_another_still_trains_waits_and_trains_nothing(plan, monkeypatch):
    """The other, a worker given up while alive, holds the lock until it has trained the run."""
    (config, *_) = sweep.read_sweep(plan()).runs.values()
    folder, waiting, outcome = Path("out").resolve() / config.name, threading.Event(), []

    class Watched(FileLock):  # type: ignore[misc]
        def _acquire(self):
            super()._acquire()
            if not self.is_locked:
                waiting.set()

    monkeypatch.setattr(sweep, "FileLock", Watched)
    second = threading.Thread(
        target=lambda: outcome.append(sweep.train_alone(config, folder, "cpu", 1))
    )
    with locked(folder):
        second.start()
        assert waiting.wait(60)
        run = train(config, folder, device="cpu")
        before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
        assert outcome == []
    second.join(60)
    assert outcome == [None]
    assert {p: p.stat().st_mtime_ns for p in run.folder.iterdir()} == before


def locked(folder: Path) -> BaseFileLock:
    """The lock of a run folder, to be held by the test."""
    locks = folder.resolve().parent / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / folder.name)


def test_a_killed_process_leaves_no_lock(plan):
    (config, *_) = sweep.read_sweep(plan()).runs.values()
    folder = Path("out").resolve() / config.name
    lock = locked(folder)
    code = (
        f"import filelock, sys; lock = filelock.FileLock({lock.lock_file!r}); lock.acquire(); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(TimeoutError):
            lock.acquire(timeout=0)
        process.kill()
    assert sweep.train_alone(config, folder, "cpu", 1) is None


def test_dask_that_is_not_installed_is_said(plan, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(["sweep", str(plan()), "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "pip install 'forward-stability[dask]'" in capsys.readouterr().err


def check_each_once(outcomes, whole):
    """Eight runs, each once in outcomes and ledger, with the weights of an undisturbed run."""
    assert sorted(outcomes) == sorted((name, None) for name in whole.runs)
    rows = ledger.write(whole.out)
    assert [row.name for row in rows] == sorted(whole.runs)
    assert len(rows) == 8
    name, config = next(iter(whole.runs.items()))
    alone = train(replace(config), Path("alone"), device="cpu")
    found, expected = (r.history[-1]["loss"] for r in (Run(whole.out / name), alone))
    assert found == pytest.approx(expected, rel=1e-5)  # float32, another number of threads
    leftovers = {p.name for p in whole.out.rglob("*") if p.is_file() and ".locks" not in p.parts}
    assert leftovers == {
        "config.json", "run.json", "history.jsonl", "weights.safetensors", "ledger.csv",
    }  # fmt: skip


@pytest.fixture
def interrupted(plan):
    """A sweep of eight runs, and the outcomes of it when something is killed at the first one.

    Until the kill the test holds the lock of the first run, so that its worker cannot end before.
    """

    def run(jobs, kill, *scheduler):
        whole = sweep.read_sweep(plan(jobs=jobs, seed=range(4)))
        first, outcomes = whole.out / next(iter(whole.runs)), []
        with locked(first) as lock:
            for outcome in sweep.run_sweep(whole, *scheduler):
                if not outcomes:
                    kill()
                    assert not first.exists()  # what is lost is unfinished
                    lock.release()
                outcomes.append(outcome)
        return whole, outcomes

    return run


@pytest.mark.slow
def test_eight_runs_through_joblib_with_a_killed_process(interrupted):
    def kill():
        children = psutil.Process().children()
        workers = [child for child in children if "popen_loky_posix" in str(child.cmdline())]
        assert len(workers) == 2
        workers[0].kill()

    whole, outcomes = interrupted(2, kill)
    check_each_once(outcomes, whole)


@pytest.mark.slow
def test_eight_runs_through_dask_with_a_killed_worker(interrupted):
    import distributed

    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address]
        command += ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
        workers = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
        try:
            with distributed.Client(address) as client:
                client.wait_for_workers(2, timeout=120)
            whole, outcomes = interrupted(1, workers[0].kill, address)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    check_each_once(outcomes, whole)


def test_a_file_as_people_write_it(tmp_path, monkeypatch):
    """Some editors begin it with a byte order mark, and ~ is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.toml").write_bytes(b'\xef\xbb\xbfout = "~/x"\n')
    assert sweep.read_sweep(tmp_path / "x.toml").out == tmp_path / "x"
