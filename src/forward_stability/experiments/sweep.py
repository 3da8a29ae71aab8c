"""Many runs from one file: every combination of variants, m, data sets and seeds.

A sweep is resumable: a run that is done is skipped, one that was stopped goes on. A run that fails,
or whose process is killed, does not stop the others. On one machine the runs are shared out by
joblib, on several by Dask, through joblib.
"""

import itertools
import tomllib
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch
from filelock import FileLock

from forward_stability.errors import InputError
from forward_stability.experiments.config import Config
from forward_stability.experiments.data import check_dataset
from forward_stability.experiments.device import check_device
from forward_stability.experiments.ledger import IDENTITY
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import user_path
from forward_stability.experiments.training import train
from forward_stability.models import check_positive

MOST = 1024
"""The most processes, and threads of each, that are not taken for a slip."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep file says.

    Attributes:
        out: the folder of the run folders and their ledger.
        jobs: runs at a time, on one machine.
        threads: of each run, on the CPU.
        device: of all runs: "auto", "cpu" or "cuda".
        runs: the configurations by name.
    """

    out: Path
    jobs: int
    threads: int
    device: str
    runs: dict[str, Config]


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file in TOML.

    Its lists ``variant``, ``blocks``, ``dataset`` and ``seed`` span the runs; the table
    ``[options]`` holds any other options of ``forward-stability train``; ``out``, ``jobs``,
    ``threads`` and ``device`` say where and how, see :class:`Sweep`.

    Raises:
        InputError: if it is missing, is not TOML, or has a key or a value that does not fit.

    Chapter 13.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    try:
        return _sweep(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _sweep(content: dict[str, Any]) -> Sweep:
    """The sweep of a parsed file."""
    jobs = _count(content, "jobs", 1)
    threads = _count(content, "threads", max(1, joblib.cpu_count() // jobs))
    out, device = _take(content, "out", "runs"), _take(content, "device", "auto")
    check_device(device)
    if not out.strip() or "\0" in out:
        raise InputError(f"out must be the path of a folder, got {out!r}")
    options = _take(content, "options", {})
    _known("options", options, {f.name for f in Config.options()} - set(IDENTITY))
    _known("keys", content, set(IDENTITY))
    for name in IDENTITY:
        values = content.setdefault(name, [getattr(Config, name)])
        if not isinstance(values, list) or not values:
            raise InputError(f"{name} must be a list of at least one value, got {values!r}")
    runs: dict[str, Config] = {}
    for values in itertools.product(*(content[name] for name in IDENTITY)):
        config = Config.from_dict(dict(zip(IDENTITY, values, strict=True)) | options)
        check_dataset(config.dataset)
        if config.name in runs:
            raise InputError(
                f"two runs have the name {config.name}: a value is listed twice, or two folders of "
                "images need sweeps of their own, with another out"
            )
        runs[config.name] = config
    return Sweep(user_path(out), jobs, threads, device, runs)


def _take(content: dict[str, Any], key: str, default: Any) -> Any:
    """Remove and return a value of the type of its default."""
    value = content.pop(key, default)
    if type(value) is not type(default):
        raise InputError(f"{key} must be of type {type(default).__name__}, got {value!r}")
    return value


def _count(content: dict[str, Any], key: str, default: int) -> int:
    """Remove and return a number of processes or threads."""
    value = _take(content, key, default)
    check_positive(**{key: value})
    if value > MOST:
        raise InputError(f"{key} must be at most {MOST}, got {value}")
    return value


def _known(what: str, given: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(given) - known):
        raise InputError(f"unknown {what}: {', '.join(unknown)}; known: {', '.join(sorted(known))}")


def is_done(folder: Path, config: Config) -> bool:
    """Whether the folder holds the finished run of the configuration."""
    try:
        run = Run(folder)
        return run.done and run.config == config.resolved(run.info["data"]["train_images"])
    except (InputError, KeyError):
        return False  # training will say what is wrong


def train_alone(config: Config, folder: Path, device: str, threads: int) -> str | None:
    """Train a run in this process, while no other process of a sweep trains it.

    A worker that the scheduler has given up may still be alive and go on with its run. Whoever is
    given the run then waits for the lock; the system frees it when a process ends, however it
    ends. Between machines this takes a file system with locks, such as NFS 4.

    Returns:
        the reason if it failed, else None.
    """
    before = torch.get_num_threads()
    try:
        locks = folder.parent / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / folder.name):
            torch.set_num_threads(threads)
            train(config, folder, device=device)
    except InputError as error:
        return str(error)
    except Exception as error:  # a defect or a machine out of memory: the others go on
        return f"{type(error).__name__}: {error}"
    finally:
        torch.set_num_threads(before)
    return None


def run_sweep(sweep: Sweep, scheduler: str | None = None) -> Iterator[tuple[str, str | None]]:
    """Train what is missing.

    Args:
        sweep: what.
        scheduler: the address of a Dask scheduler, such as ``tcp://host:8786``, whose workers
            train; they must see the folder ``out`` under the same path. Else joblib's processes
            on this machine train.

    Yields:
        the name of each run as it ends, and the reason if it failed.

    Raises:
        InputError: if a scheduler is given and Dask is not installed, or ``out`` can be no folder.
        OSError: if the scheduler does not answer.
    """
    out = sweep.out.absolute()
    left = {name: c for name, c in sweep.runs.items() if not is_done(out / name, c)}
    yield from ((name, None) for name in sweep.runs if name not in left)
    with ExitStack() as stack:
        lost: tuple[type[Exception], ...] = (BrokenExecutor,)
        backend: dict[str, Any] = {"backend": "loky", "inner_max_num_threads": sweep.threads}
        if scheduler is not None:
            distributed = _distributed()
            client = stack.enter_context(distributed.Client(scheduler, set_as_default=False))
            lost, backend = (distributed.KilledWorker,), {"backend": "dask", "client": client}
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {sweep.out}: {error.strerror}") from error
        alone = False
        while left:
            # All at once; after a kill without which nothing ended, one by one until it is found.
            batch, before = list(left)[: 1 if alone else None], len(left)
            try:
                for name, failure in _share(sweep, out, batch, backend):
                    del left[name]
                    if failure is None and not is_done(out / name, sweep.runs[name]):
                        failure = f"it is not in {out}: its worker does not see this folder"
                    yield name, failure
            except lost as error:
                if alone:
                    del left[batch[0]]
                    yield batch[0], f"its process was killed ({type(error).__name__})"
                alone = not alone and len(left) == before


def _share(
    sweep: Sweep, out: Path, names: list[str], backend: dict[str, Any]
) -> Iterator[tuple[str, str | None]]:
    """Share runs out among processes; yields each, and why it failed, as it ends."""
    jobs = -1 if backend["backend"] == "dask" else sweep.jobs
    # pre_dispatch="all": workers that join later find something to do.
    options: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}
    with joblib.parallel_config(**backend):
        share: Any = joblib.Parallel(jobs, pre_dispatch="all", **options)
        yield from share(
            joblib.delayed(_task)(n, sweep.runs[n], out / n, sweep.device, sweep.threads)
            for n in names
        )


def _task(name: str, *arguments: Any) -> tuple[str, str | None]:
    """What a worker does."""
    return name, train_alone(*arguments)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise InputError("a scheduler needs Dask: pip install 'forward-stability[dask]'") from None
    return distributed
