"""The command ``forward-stability``.

Its options are generated from :class:`~forward_stability.experiments.config.Config`. Input that a
user can mend ends in one line on standard error and exit status 2.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch

from forward_stability import __version__
from forward_stability.book.export import export_run
from forward_stability.certificates import certify
from forward_stability.errors import InputError
from forward_stability.experiments import data, evaluation, ledger, noise, sweep
from forward_stability.experiments.certify_run import certify_run
from forward_stability.experiments.config import Config
from forward_stability.experiments.evaluation import accuracy, predict
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_bytes, write_json
from forward_stability.experiments.training import choose_device, train


class Parser(argparse.ArgumentParser):
    """Errors on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """An option for each field of :class:`Config`, with its help text and default."""
    kinds = {"str": str, "int": int, "float": float, "int | None": int}
    for f in fields(Config):
        assert f.default is not MISSING
        kind = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type))
        default = "" if f.default is None else f" (default: {f.default})"
        parser.add_argument(
            f"--{f.name.replace('_', '-')}",
            type=kinds[kind],
            default=f.default,
            metavar={"str": "NAME", "float": "X"}.get(kind, "N"),
            help=f.metadata["help"] + default,
        )


def build_parser() -> Parser:
    """The parser of the command line."""
    parser = Parser(prog="forward-stability", description="Train and examine stable ResNets.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    sub = commands.add_parser(
        "train",
        help="train a network",
        description="Train a network. Stopped at any time, the same command goes on. "
        "The defaults are those of the paper: 93,500 steps.",
    )
    add_config_options(sub)
    sub.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="run folder (default: results/DATASET-VARIANT-mBLOCKS-seedSEED)",
    )
    sub.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda")
    sub.set_defaults(run=run_train)

    sub = commands.add_parser(
        "evaluate",
        help="test a trained network, on corrupted images too",
        description="The test accuracy of a trained network with the noise of Eq. 28.",
    )
    sub.add_argument("folder", metavar="RUN", help="run folder")
    sub.add_argument(
        "--sigma", type=float, nargs="*", default=[], metavar="X",
        help="unstructured noise: standard deviations, on the scale where pixels are in [0, 1]",
    )  # fmt: skip
    sub.add_argument(
        "--epsilon", type=float, nargs="*", default=[], metavar="X",
        help="structured noise: multiples of the test image X0",
    )  # fmt: skip
    sub.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the noise (default: 0)"
    )
    sub.add_argument(
        "--x0", type=int, default=0, metavar="N", help="index of a test image (default: 0)"
    )
    sub.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda")
    sub.set_defaults(run=run_evaluate)

    sub = commands.add_parser(
        "bounds",
        help="what Theorems 5 and 6 say about a trained network",
        description="Norms, hypotheses and constants of Theorems 5 and 6, layer by layer; "
        "also written to RUN/bounds.json.",
    )
    sub.add_argument("folder", metavar="RUN", help="run folder")
    sub.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"),
        help="height and width of the images (default: those of the training images)",
    )  # fmt: skip
    sub.set_defaults(run=run_bounds)

    sub = commands.add_parser(
        "certify",
        help="certified radii of a trained network, and an attack on it",
        description="The radius within which no perturbation changes the answer, for all test "
        "images, and an l2 attack from the other side; also written to RUN/certificate.json.",
    )
    sub.add_argument("folder", metavar="RUN", help="run folder")
    sub.add_argument(
        "--images", type=int, default=1000, metavar="N",
        help="test images to attack (default: 1000)",
    )  # fmt: skip
    sub.add_argument(
        "--steps", type=int, default=100, metavar="N", help="of the attack (default: 100)"
    )
    sub.add_argument(
        "--restarts", type=int, default=10, metavar="N", help="of the attack (default: 10)"
    )
    sub.set_defaults(run=run_certify)

    sub = commands.add_parser(
        "sweep",
        help="train every combination that a file lists",
        description="Train every combination of variants, m, data sets and seeds that FILE.toml "
        "lists, and write the ledger. Stopped at any time, the same command goes on; what is done "
        "is not trained again. Exit status 1 if a run failed.",
    )
    sub.add_argument("file", metavar="FILE.toml", type=Path, help="such as sweeps/digits.toml")
    sub.add_argument(
        "--scheduler", metavar="ADDRESS",
        help="of a Dask scheduler, such as tcp://host:8786, whose workers train (default: processes"
        " on this machine)",
    )  # fmt: skip
    sub.set_defaults(run=run_sweep)

    sub = commands.add_parser(
        "ledger",
        help="write the table of all runs in a folder",
        description="Write DIR/ledger.csv anew from the run folders below DIR: a row a run.",
    )
    sub.add_argument(
        "folder", metavar="DIR", nargs="?", type=Path, default="results",
        help="folder of run folders (default: results)",
    )  # fmt: skip
    sub.set_defaults(run=run_ledger)

    sub = commands.add_parser(
        "noise",
        help="measure trained networks on corrupted images (Table 4)",
        description="Measure the test accuracy of trained networks at all levels of Table 4 and "
        "some more, with several seeds and several images x0. Runs that are in FILE already and "
        "not named stay in it.",
    )
    sub.add_argument("folders", metavar="RUN", nargs="+", help="run folders")
    sub.add_argument(
        "--out", type=Path, metavar="FILE", default=Path("results") / evaluation.FILENAME,
        help="the file (default: results/noise.json)",
    )  # fmt: skip
    sub.add_argument(
        "--step", type=int, default=1, metavar="N", help="take every N-th test image (default: 1)"
    )
    sub.set_defaults(run=run_noise)

    sub = commands.add_parser(
        "export",
        help="write a trained network as one compact file for the browser",
        description="Write a trained network, batch normalisation folded in, as one compact file "
        "that the explorers of the book evaluate in the browser.",
    )
    sub.add_argument("folder", metavar="RUN", help="run folder")
    sub.add_argument(
        "--out", type=Path, metavar="FILE", help="the file (default: RUN/live.safetensors)"
    )
    sub.set_defaults(run=run_export)

    sub = commands.add_parser(
        "data",
        help="fetch and check a data set",
        description=f"Fetch and check a data set: {data.NAMES}. "
        f"Files are kept in {data.data_root()} (set FORWARD_STABILITY_DATA to change it).",
    )
    sub.add_argument("name", metavar="NAME", help="name of the data set")
    sub.add_argument("--mirror", metavar="URL", help="address of a folder with the same archives")
    sub.set_defaults(run=run_data)
    return parser


def run_train(args: argparse.Namespace) -> None:
    """``forward-stability train``."""
    config = Config(**{f.name: getattr(args, f.name) for f in fields(Config)})
    folder = args.out or Path("results") / config.name
    run = train(config, folder, device=args.device, progress=sys.stderr.isatty())
    result = run.info["result"]
    print(
        f"{run.folder}: {100 * result['test_accuracy']:.2f} % test accuracy "
        f"after {result['step']:,} steps in {result['seconds']:.0f} s"
    )


def run_evaluate(args: argparse.Namespace) -> None:
    """``forward-stability evaluate``."""
    run = Run(args.folder)
    network = run.network().to(choose_device(args.device))
    dataset = run.dataset()
    if not 0 <= args.x0 < len(dataset.test_images):
        raise InputError(f"--x0 must be below {len(dataset.test_images)}, got {args.x0}")
    x0 = data.scale(dataset.test_images[args.x0])

    def line(name: str, corrupt: Any) -> None:
        scores = predict(network, dataset.test_images, corrupt)
        print(f"{name:<16}{100 * accuracy(scores, dataset.test_labels):6.2f} %")

    print(f"{network.name} on {dataset.name}, test accuracy")
    line("no noise", lambda x: x)
    for sigma in args.sigma:
        generator = torch.Generator().manual_seed(args.seed)
        grain = partial(noise.unstructured_noise, sigma=sigma, generator=generator)
        line(f"σ = {sigma:g}", grain)
    for epsilon in args.epsilon:
        line(f"ε = {epsilon:g}", partial(noise.structured_noise, x0=x0, epsilon=epsilon))


def run_bounds(args: argparse.Namespace) -> None:
    """``forward-stability bounds``."""
    run = Run(args.folder)
    height, width = args.size or run.info["data"]["image_shape"][1:]
    report = certify(run.network(), (height, width))
    write_json(run.folder / "bounds.json", report.to_dict())
    print(report)


def run_certify(args: argparse.Namespace) -> None:
    """``forward-stability certify``."""
    run = Run(args.folder)
    c = certify_run(
        run, run.dataset(), images=args.images, steps=args.steps, restarts=args.restarts
    )
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
    print(
        f"{inside['successes']} of {inside['attacked']} attacks inside the certified radius "
        f"succeeded ({found['steps']} steps, {found['restarts']} restarts)"
    )


def run_sweep(args: argparse.Namespace) -> int:
    """``forward-stability sweep``."""
    plan = sweep.read_sweep(args.file)
    failures = {}
    for number, (name, failure) in enumerate(sweep.run_sweep(plan, args.scheduler), start=1):
        print(f"{number}/{len(plan.runs)} {name}: {'failed' if failure else 'done'}", flush=True)
        if failure:
            failures[name] = failure
    try:
        run_ledger(argparse.Namespace(folder=plan.out))
    except InputError as error:
        failures["ledger"] = str(error)
    for name, failure in failures.items():
        print(f"forward-stability: {name}: {' '.join(failure.split())}", file=sys.stderr)
    return 1 if failures else 0


def run_ledger(args: argparse.Namespace) -> None:
    """``forward-stability ledger``."""
    rows = ledger.rebuild(args.folder)
    print(f"{args.folder / ledger.FILENAME}: {len(rows)} runs")


def run_noise(args: argparse.Namespace) -> None:
    """``forward-stability noise``."""
    entries = evaluation.update(args.out, [Run(folder) for folder in args.folders], args.step)
    print(f"{args.out}: {len(entries)} networks")


def run_export(args: argparse.Namespace) -> None:
    """``forward-stability export``."""
    run = Run(args.folder)
    content = export_run(run).to_bytes()
    path = args.out or run.folder / "live.safetensors"
    write_bytes(path, content)
    print(f"{path}: {run.network().name}, {len(content):,} bytes")


def run_data(args: argparse.Namespace) -> None:
    """``forward-stability data``."""
    dataset = data.load_dataset(args.name, download=True, mirror=args.mirror)
    c, h, w = dataset.train_images.shape[1:]
    print(
        f"{dataset.name}: {len(dataset.train_images):,} training and "
        f"{len(dataset.test_images):,} test images of {h}x{w} pixels, {c} channels, "
        f"{len(dataset.classes)} classes; fingerprint {dataset.fingerprint[:12]}"
    )


def show_warning(message: Warning | str, *_details: Any) -> None:
    """A warning on one line."""
    print(f"forward-stability: warning: {' '.join(str(message).split())}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    args = build_parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            return args.run(args) or 0
    except (InputError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"forward-stability: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("forward-stability: stopped; the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
