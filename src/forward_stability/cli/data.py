"""``forward-stability data``."""

import argparse

from forward_stability.cli import arguments
from forward_stability.experiments.data import DATA_ROOT, NAMES, load_dataset

DESCRIPTION = (
    f"Fetch and check a data set: {NAMES}. Files are kept in {DATA_ROOT} "
    "(set FORWARD_STABILITY_DATA to change it)."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The name and where it comes from."""
    parser.add_argument("name", metavar="NAME", help="name of the data set")
    parser.add_argument(
        "--mirror", type=arguments.web_folder, metavar="URL",
        help="address of a folder with the same archives",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Say what it holds."""
    dataset = load_dataset(args.name, download=True, mirror=args.mirror)
    c, h, w = dataset.train_images.shape[1:]
    print(
        f"{dataset.name}: {len(dataset.train_images):,} training and "
        f"{len(dataset.test_images):,} test images of {h}x{w} pixels, {c} channels, "
        f"{len(dataset.classes)} classes; fingerprint {dataset.fingerprint[:12]}"
    )
