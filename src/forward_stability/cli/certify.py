"""``forward-stability certify``."""

import argparse

from forward_stability.certificates import certify
from forward_stability.cli import arguments
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import check_writable, write_json

DESCRIPTION = (
    "Norms, hypotheses and constants of Theorems 5 and 6, layer by layer. "
    "How far an image may move is said by forward-stability radii."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The run and the size of its images."""
    parser.add_argument("folder", type=arguments.path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--size", type=arguments.count, nargs=2, metavar=("H", "W"),
        help="height and width of the images (default: those of the training images)",
    )  # fmt: skip
    arguments.add_effort(parser)
    parser.add_argument(
        "--out", type=arguments.path, metavar="FILE", help="write them as JSON, too"
    )


def run(args: argparse.Namespace) -> None:
    """Print the report."""
    run = Run(args.folder)
    if args.out:
        check_writable(args.out)
    height, width = args.size or run.info["data"]["image_shape"][1:]
    report = certify(run.network(), (height, width), args.multipliers, args.chained)
    print(report)
    if args.out:
        write_json(args.out, report.to_dict())
