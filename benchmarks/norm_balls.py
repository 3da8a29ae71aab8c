"""What share of a training step the norm balls take: with them and without, side by side.

    python benchmarks/norm_balls.py [SWEEP ...] [--repeat 10] [--threads 1] [--out FILE]

For each sweep file (default: those of the certified hour) its first network is trained on random
images of CIFAR's size, once as it is and once with plain filters of the same values. Blocks of
steps alternate, since a shared machine is slow at times, and the best block of each counts.
"""

import argparse
import time
from pathlib import Path

import torch
from torch.nn.utils import parametrize

from forward_stability.experiments.config import Config
from forward_stability.experiments.data import from_tensors
from forward_stability.experiments.provenance import command, environment
from forward_stability.experiments.storage import write_json
from forward_stability.experiments.sweep import read_sweep
from forward_stability.experiments.training import Trainer, parameter_groups

STEPS = 20
"""Of a block; two more before it are not timed."""


def trainers(config: Config) -> tuple[Trainer, Trainer]:
    """One with norm balls, and one with plain filters of the same values."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (512, 3, 32, 32), generator=random, dtype=torch.uint8)
    batch = images, torch.arange(512) % 10
    balls, plain = (Trainer(config, from_tensors(batch, batch), "cpu") for _ in ("balls", "plain"))
    for module in list(plain.network.modules()):
        for name in list(getattr(module, "parametrizations", ())):
            parametrize.remove_parametrizations(module, name)
    plain.optimiser = torch.optim.SGD(
        parameter_groups(plain.network, config.alpha), plain.learning_rate,
        momentum=config.momentum, fused=True,
    )  # fmt: skip
    return balls, plain


def seconds(trainer: Trainer, block: int) -> float:
    """Of a step, the mean of a block."""
    for step in range(2):
        trainer.step(step)
    start = time.perf_counter()
    for step in range(STEPS):
        trainer.step(block * STEPS + step)
    return (time.perf_counter() - start) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    sweeps = Path(__file__).resolve().parents[1] / "sweeps"
    parser.add_argument(
        "sweeps", nargs="*", type=Path, metavar="SWEEP",
        default=[sweeps / "hour.toml", sweeps / "hour_open.toml"],
    )  # fmt: skip
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = {}
    for path in args.sweeps:
        pair = trainers(next(iter(read_sweep(path).runs.values())))
        blocks = [[seconds(trainer, k) for trainer in pair] for k in range(args.repeat)]
        best = [min(times) for times in zip(*blocks, strict=True)]
        share = 1 - best[1] / best[0]
        rows[path.stem] = {"seconds": best[0], "without": best[1], "share": share}
        print(f"{path.name:<20}{best[0]:.4f} s a step, {best[1]:.4f} s without: {share:.1%}")
    if args.out:
        about = environment("cpu")
        write_json(args.out, {"command": command(), "steps": rows, "environment": about})


if __name__ == "__main__":
    main()
