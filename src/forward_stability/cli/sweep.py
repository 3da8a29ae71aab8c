"""``forward-stability sweep``."""

import argparse
import sys

from forward_stability.cli import arguments
from forward_stability.errors import InputError
from forward_stability.experiments import ledger
from forward_stability.experiments.sweep import read_sweep, run_sweep

DESCRIPTION = (
    "Train every combination of variants, m, data sets and seeds that FILE.toml lists, and write "
    "the ledger. Stopped at any time, the same command goes on; what is done is not trained "
    "again. Exit status 1 if a run failed."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The file and who trains."""
    parser.add_argument(
        "file", type=arguments.path, metavar="FILE.toml", help="such as sweeps/digits.toml"
    )
    parser.add_argument(
        "--scheduler", type=arguments.scheduler, metavar="ADDRESS",
        help="of a Dask scheduler, such as tcp://host:8786, whose workers train (default: processes"
        " on this machine)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Say of each run, as it ends, whether it is done."""
    plan = read_sweep(args.file)
    failures = {}
    for number, (name, failure) in enumerate(run_sweep(plan, args.scheduler), start=1):
        print(f"{number}/{len(plan.runs)} {name}: {'failed' if failure else 'done'}", flush=True)
        if failure:
            failures[name] = failure
    try:
        rows = ledger.write(plan.out)
        print(f"{plan.out / ledger.FILENAME}: {len(rows)} runs")
    except (InputError, OSError) as error:
        failures["ledger"] = str(error)
    for name, failure in failures.items():
        print(f"forward-stability: {name}: {' '.join(failure.split())}", file=sys.stderr)
    return 1 if failures else 0
