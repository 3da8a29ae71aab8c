"""``forward-stability radii``."""

import argparse

from forward_stability.cli import arguments
from forward_stability.experiments.radii import measure_radii
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import check_writable, write_json

DESCRIPTION = (
    "The radius within which no perturbation changes the answer, for all test images, and l2 "
    "attacks from the other side."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The run and the effort of the attack."""
    parser.add_argument("folder", type=arguments.path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--images", type=arguments.count, default=1000, metavar="N",
        help="test images to attack (default: 1000)",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=arguments.count, default=100, metavar="N",
        help="of the attack (default: 100)",
    )  # fmt: skip
    parser.add_argument(
        "--restarts", type=arguments.count, default=10, metavar="N",
        help="of the attack (default: 10)",
    )  # fmt: skip
    arguments.add_effort(parser)
    parser.add_argument(
        "--out", type=arguments.path, metavar="FILE", help="write them as JSON, too"
    )


def run(args: argparse.Namespace) -> None:
    """Print the shares of images that are certified and that withstand."""
    run = Run(args.folder)
    if args.out:
        check_writable(args.out)
    c = measure_radii(
        run, run.dataset(),
        images=args.images, steps=args.steps, restarts=args.restarts,
        multipliers=args.multipliers, chained=args.chained,
    )  # fmt: skip
    found, inside = c["attack"], c["attack"]["inside_certified_radius"]
    holds = "hold" if c["hypotheses_hold"] else "do not all hold"
    print(
        f"{c['network']}: the hypotheses {holds}; "
        f"constant in front of the classifier {c['constant']:.5g}"
    )
    print(f"{'radius':<10}{'certified':>12}{'certified':>16}{'under attack':>14}")
    print(f"{'':<10}{c['test_images']:>5,} images{found['images']:>9,} images{'(the same)':>14}")
    rows = zip(
        ("0", *(f"{255 * r:.0f}/255" for r in c["radii"])),
        (c["clean"], *c["certified"]),
        (found["clean"], *found["certified"]),
        (found["clean"], *found["accuracy"]),
        strict=True,
    )
    for name, *values in rows:
        print(
            f"{name:<10}"
            + "".join(f"{100 * v:>{n}.2f} %" for v, n in zip(values, (10, 14, 12), strict=True))
        )
    searched = c["search"]
    print(
        f"inside the certified radius {inside['successes']} of {inside['attacked']} attacks by "
        f"gradients succeeded ({found['steps']} steps, {found['restarts']} restarts), and "
        f"{searched['successes']} of {searched['attacked']} by random search "
        f"({searched['steps']} steps)"
    )
    if args.out:
        write_json(args.out, c)
