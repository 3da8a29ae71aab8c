"""``forward-stability train``: an option for each field of the configuration."""

import argparse
import sys
from pathlib import Path

from forward_stability.cli import arguments
from forward_stability.experiments.config import Config
from forward_stability.experiments.training import train

DESCRIPTION = (
    "Train a network. Stopped at any time, the same command goes on. "
    "The defaults are those of the paper: 93,500 steps."
)
KINDS = {
    "str": str,
    "int": arguments.integer,
    "float": arguments.number,
    "int | None": arguments.integer,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Their help texts and defaults are those of the configuration."""
    for f in Config.options():
        kind = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type))
        default = "" if f.default is None else f" (default: {f.default})"
        parser.add_argument(
            f"--{f.name.replace('_', '-')}",
            type=KINDS[kind],
            default=f.default,
            metavar={"str": "NAME", "float": "X"}.get(kind, "N"),
            help=f.metadata["help"] + default,
        )
    parser.add_argument(
        "--out",
        type=arguments.path,
        metavar="DIR",
        help="run folder (default: runs/DATASET-VARIANT-mBLOCKS-seedSEED)",
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Train, and say how well."""
    config = Config.from_dict({f.name: getattr(args, f.name) for f in Config.options()})
    folder = args.out or Path("runs") / config.name
    run = train(config, folder, device=args.device, progress=sys.stderr.isatty())
    result = run.info["result"]
    print(
        f"{run.folder}: {100 * result['test_accuracy']:.2f} % test accuracy "
        f"after {result['step']:,} steps in {result['seconds']:.0f} s"
    )
