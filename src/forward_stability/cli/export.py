"""``forward-stability export``."""

import argparse

from forward_stability.book.export import export_run
from forward_stability.cli import arguments
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_bytes

DESCRIPTION = (
    "Write a trained network, batch normalisation folded in, as one compact file that the "
    "explorers of the book evaluate in the browser."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The run and the file."""
    parser.add_argument("folder", type=arguments.path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--out", type=arguments.path, metavar="FILE",
        help="the file (default: RUN/live.safetensors)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Say where the file is, and how large."""
    run = Run(args.folder)
    content = export_run(run).to_bytes()
    path = args.out or run.folder / "live.safetensors"
    write_bytes(path, content)
    print(f"{path}: {run.network().name}, {len(content):,} bytes")
