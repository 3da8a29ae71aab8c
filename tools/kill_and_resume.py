"""Training that is killed at any moment and gone on with ends with the same weights.

    python tools/kill_and_resume.py [--kills 50] [--seed 0] [--steps 40]
    python tools/kill_and_resume.py --writes [--steps 40]

A small ResNet-D learns digits, evaluates and saves a checkpoint every second step. It is killed
with SIGKILL, which no program can catch, at a moment drawn uniformly from its duration; or, with
``--writes``, once at each file that it writes, while the temporary file is there: between two of
them nothing is kept, so that no moment differs from these. The same call then goes on. Weights and
history (without the seconds) must be those of the run that nobody killed, to the last bit. Exit
status 1 if one differs. POSIX only.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import torch

from forward_stability.experiments import storage
from forward_stability.experiments.config import Config
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import checksum, load_tensors
from forward_stability.experiments.training import train

for name in ("sklearn.datasets", "sklearn.model_selection", "torch._dynamo"):
    import_module(name)  # what training imports on its way: once, not in each process


def kill_at_write(number: int) -> None:
    """Let this process be killed when it has written the content of so many files."""
    fsync, left = os.fsync, iter(range(number - 1, -1, -1))

    def killing(descriptor: int) -> None:
        if next(left, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    storage.os.fsync = killing


def start(config: Config, folder: Path, write: int | None = None) -> int:
    """Train in a process of its own, killed at this write; returns its number."""
    process = os.fork()  # nothing has been computed here yet, so there are no threads to lose
    if process == 0:
        status = 1
        try:
            torch.set_num_threads(1)
            if write is not None:
                kill_at_write(write)
            train(config, folder, device="cpu")
            status = 0
        finally:
            os._exit(status)
    return process


def outcome(folder: Path) -> tuple[str, list[dict]]:
    """The checksum of the weights, and the history without what a clock says."""
    tensors, _ = load_tensors(folder / "weights.safetensors", "")
    history = [{k: v for k, v in e.items() if k != "seconds"} for e in Run(folder).history]
    return checksum(tensors), history


def kill_and_resume(config: Config, folder: Path, moment: float | int) -> str | None:
    """Kill a run after so many seconds (a float) or at this write (an int), and go on with it.

    Returns:
        what was there when it was killed; None if it had ended by then.
    """
    if isinstance(moment, float):
        process = start(config, folder)
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)
    else:
        process = start(config, folder, moment)
    _, status = os.waitpid(process, 0)
    if not os.WIFSIGNALED(status):
        return None
    if list(folder.glob(".*.tmp")):
        found = "while a file was written"
    elif not (folder / "config.json").exists():
        found = "before there was a folder"
    else:
        found = "between two checkpoints" if Run(folder).checkpoints else "before a checkpoint"
    _, status = os.waitpid(start(config, folder), 0)
    if status != 0:
        raise SystemExit(f"{folder} could not be gone on with after a kill {found}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="how many runs to kill")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--steps", type=int, default=40, help="of each run")
    parser.add_argument("--writes", action="store_true", help="kill at each file that is written")
    args = parser.parse_args()
    config = Config(blocks=1, width=2, batch_size=16, steps=args.steps, evaluate_every=2)
    draw, kills, different = random.Random(args.seed), [], 0
    with tempfile.TemporaryDirectory() as name:
        begin, whole = time.perf_counter(), Path(name) / "whole"
        os.waitpid(start(config, whole), 0)
        duration, expected = time.perf_counter() - begin, outcome(whole)
        while args.writes or len(kills) < args.kills:
            folder = Path(name) / f"{len(kills)}"
            moment = len(kills) + 1 if args.writes else draw.uniform(0, duration)
            found = kill_and_resume(config, folder, moment)
            if found is None and args.writes:
                break  # there are no more files
            if found is None:
                continue
            kills.append(found)
            different += outcome(folder) != expected
    for found in sorted(set(kills)):
        print(f"{kills.count(found):4} killed {found}")
    print(f"{len(kills)} kills, {len(kills) - different} identical resumes")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
