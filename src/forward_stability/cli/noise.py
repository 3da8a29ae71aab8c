"""``forward-stability noise``."""

import argparse
from pathlib import Path

from forward_stability.cli import arguments
from forward_stability.experiments import evaluation
from forward_stability.experiments.runs import Run

DESCRIPTION = (
    "Measure the test accuracy of trained networks at all levels of Table 4 and some more, with "
    "several seeds and several images x0. Runs that are in FILE already and not named stay in it."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The runs, the file and how many images."""
    parser.add_argument(
        "folders", type=arguments.path, metavar="RUN", nargs="+", help="run folders"
    )
    parser.add_argument(
        "--out", type=arguments.path, metavar="FILE", default=Path("runs") / evaluation.FILENAME,
        help="the file (default: runs/noise.json)",
    )  # fmt: skip
    parser.add_argument(
        "--step", type=arguments.count, default=1, metavar="N",
        help="take every N-th test image (default: 1)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Say where the results are."""
    entries = evaluation.update(args.out, [Run(folder) for folder in args.folders], args.step)
    print(f"{args.out}: {len(entries)} networks")
