"""``forward-stability ledger``."""

import argparse

from forward_stability.cli import arguments
from forward_stability.experiments import ledger

DESCRIPTION = "Write DIR/ledger.csv anew from the run folders below DIR: a row a run."


def add_options(parser: argparse.ArgumentParser) -> None:
    """The folder."""
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", type=arguments.path, default="runs",
        help="folder of run folders (default: runs)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Say where the table is, and how long."""
    rows = ledger.write(args.folder)
    print(f"{args.folder / ledger.FILENAME}: {len(rows)} runs")
