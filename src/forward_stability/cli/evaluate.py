"""``forward-stability evaluate``."""

import argparse
from functools import partial
from typing import Any

import torch

from forward_stability.cli import arguments
from forward_stability.errors import InputError
from forward_stability.experiments.data import scale
from forward_stability.experiments.device import choose_device
from forward_stability.experiments.evaluation import accuracy, predict
from forward_stability.experiments.noise import structured_noise, unstructured_noise
from forward_stability.experiments.runs import Run

DESCRIPTION = "The test accuracy of a trained network with the noise of Eq. 28."


def add_options(parser: argparse.ArgumentParser) -> None:
    """The run and the noise."""
    parser.add_argument("folder", type=arguments.path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--sigma", type=arguments.level, nargs="*", default=[], metavar="X",
        help="unstructured noise: standard deviations, on the scale where pixels are in [0, 1]",
    )  # fmt: skip
    parser.add_argument(
        "--epsilon", type=arguments.level, nargs="*", default=[], metavar="X",
        help="structured noise: multiples of the test image X0",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=arguments.seed, default=0, metavar="N",
        help="seed of the noise (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--x0", type=arguments.index, default=0, metavar="N",
        help="index of a test image (default: 0)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """A line for the clean images, and one for each noise."""
    run = Run(args.folder)
    device = choose_device(args.device)
    network = run.network().to(device)
    dataset = run.dataset()
    if args.x0 >= len(dataset.test_images):
        raise InputError(f"--x0 must be below {len(dataset.test_images)}, got {args.x0}")
    x0 = scale(dataset.test_images[args.x0])

    def line(name: str, corrupt: Any) -> None:
        scores = predict(network, dataset.test_images, corrupt)
        print(f"{name:<16}{100 * accuracy(scores, dataset.test_labels):6.2f} %")

    print(f"{network.name} on {dataset.name}, test accuracy")
    line("no noise", lambda x: x)
    for sigma in args.sigma:
        generator = torch.Generator().manual_seed(args.seed)
        line(f"σ = {sigma:g}", partial(unstructured_noise, sigma=sigma, generator=generator))
    for epsilon in args.epsilon:
        line(f"ε = {epsilon:g}", partial(structured_noise, x0=x0, epsilon=epsilon))
