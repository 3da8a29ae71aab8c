"""What is left of some sweeps, and how long it takes on this processor.

    python tools/left.py sweeps/evidence.toml [FILE.toml ...]

A line a run: the steps that are done and those that are left, the milliseconds of a step here, with
the number of threads of the file, and the hours that remain. A step is timed on random images of
the size of CIFAR, in float32 and, where the processor has the instructions, in bfloat16; the faster
counts for a run that is not begun. No run folder is written to.
"""

import argparse
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from forward_stability.experiments.config import Config
from forward_stability.experiments.data import from_tensors
from forward_stability.experiments.device import choose_device, warn_if_slow
from forward_stability.experiments.runs import Run
from forward_stability.experiments.sweep import Sweep, is_done, read_sweep
from forward_stability.experiments.training import Trainer

IMAGES = 50_000
"""Training images of CIFAR-10 and of CIFAR-100."""


def seconds_a_step(config: Config, device: str, classes: int, steps: int = 3) -> float:
    """The least seconds of a few steps, after one to warm up."""
    count = 2 * config.batch_size
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), generator=random, dtype=torch.uint8)
    labels = torch.arange(count) % classes
    trainer = Trainer(config, from_tensors((images, labels), (images, labels)), device)
    best = float("inf")
    for step in range(1 + steps):
        begin = time.perf_counter()
        float(trainer.step(step))
        if step:
            best = min(best, time.perf_counter() - begin)
    return best


def precisions(device: str) -> list[str]:
    """Those that are worth a try: bfloat16 is not where the processor only imitates it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            warn_if_slow("bfloat16", device)
        except UserWarning:
            return ["float32"]
    return ["float32", "bfloat16"]


def progress(folder: Path, config: Config) -> int:
    """The steps after which the run has a checkpoint; all if it is done."""
    if is_done(folder, config):
        return config.steps
    found = Run(folder).load_checkpoint() if (folder / "config.json").is_file() else None
    return found[1] if found else 0


def show(sweep: Sweep) -> float:
    """Print a line a run; returns the hours that are left."""
    device, hours = choose_device(sweep.device), 0.0
    torch.set_num_threads(sweep.threads)
    speeds: dict[tuple[str, int, int, bool], tuple[float, str]] = {}
    for name, given in sweep.runs.items():
        config = given.resolved(IMAGES)
        done = progress(sweep.out / name, config)
        classes = 100 if config.dataset.endswith("100") else 10
        key = (config.variant, config.blocks, classes, done > 0)
        if done < config.steps and key not in speeds:
            kinds = [config.precision] if done else precisions(device)
            speeds[key] = min(
                (seconds_a_step(replace(config, precision=kind), device, classes), kind)
                for kind in kinds
            )
        left = config.steps - done
        line = f"{name:<28}{done:>7,} of {config.steps:>6,}"
        if left:
            seconds, precision = speeds[key]
            hours += left * seconds / 3600
            line += f"{1000 * seconds:>8.0f} ms in {precision}{left * seconds / 3600:>8.1f} h"
        print(line, flush=True)
    return hours


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.toml")
    total = 0.0
    for file in parser.parse_args().files:
        print(file)
        total += show(read_sweep(file))
    print(f"{total:.1f} hours, one run at a time")


if __name__ == "__main__":
    main()
