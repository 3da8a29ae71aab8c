"""``forward-stability export``."""

import argparse

from forward_stability.book.export import export_run
from forward_stability.cli import arguments
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import check_writable, write_bytes

DESCRIPTION = (
    "Write a trained network, batch normalisation folded in, as one compact file that the "
    "explorers of the book evaluate in the browser."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The run and the file."""
    parser.add_argument("folder", type=arguments.path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--out", type=arguments.path, metavar="FILE", required=True,
        help="such as live.safetensors",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Say where the file is, and how large."""
    run = Run(args.folder)
    check_writable(args.out)
    content = export_run(run).to_bytes()
    write_bytes(args.out, content)
    print(f"{args.out}: {run.network().name}, {len(content):,} bytes")
