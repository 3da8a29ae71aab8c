"""Randomised smoothing beside the proven radius, on the same networks and images.

    python studies/smoothing.py RUN [RUN ...] [--every 3] [--out FILE]

For each network: the share of the test images whose answer is right and certified at 36/255 and
72/255, by the constant of the network and by smoothing with several levels of noise and numbers of
samples (Cohen, Rosenfeld & Kolter 2019, α = 0.001). The seconds are those of all images.
"""

import argparse
import time
from pathlib import Path

import torch

from forward_stability import certified_radii
from forward_stability.experiments.data import scale
from forward_stability.experiments.provenance import command, environment
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_json
from forward_stability.smoothing import smoothed_answers, smoothed_radii

RADII = (36 / 255, 72 / 255)
SIGMAS = (0.05, 0.1, 0.2)
SAMPLES = (100, 1_000)
ALPHA = 0.001


def certified(radii: torch.Tensor, right: torch.Tensor) -> list[float]:
    """The share of images that are answered rightly, with at least each radius."""
    return [(right & (radii >= r)).double().mean().item() for r in RADII]


def measure(run: Run, every: int) -> dict:
    """Both certificates of a network, on every so many test images."""
    dataset, network = run.dataset(), run.network()
    images, labels = scale(dataset.test_images[::every]), dataset.test_labels[::every]
    begin = time.perf_counter()
    scores, radii = certified_radii(network, images, labels)
    right = scores.argmax(1) == labels
    proven = {"clean": right.double().mean().item(), "certified": certified(radii, right)}
    seconds, rows = time.perf_counter() - begin, []
    for sigma in SIGMAS:
        for samples in SAMPLES:
            random = torch.Generator().manual_seed(0)
            begin = time.perf_counter()
            classes, hits = smoothed_answers(network, images, sigma, samples=samples, random=random)
            right = classes == labels
            radii = smoothed_radii(hits, samples, sigma, ALPHA)
            rows.append(
                {
                    "sigma": sigma,
                    "samples": samples,
                    "clean": right.double().mean().item(),
                    "certified": certified(radii, right),
                    "seconds": round(time.perf_counter() - begin, 1),
                }
            )
            print(run.folder.name, rows[-1], flush=True)
    return {
        "run": run.folder.name,
        "images": len(images),
        "proven": proven | {"seconds": round(seconds, 1)},
        "smoothed": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--every", type=int, default=3, help="take every so many test images")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = []
    for run in map(Run, args.runs):
        rows.append(measure(run, args.every))
        if args.out:
            write_json(
                args.out,
                {
                    "command": command(),
                    "environment": environment("cpu"),
                    "radii": RADII,
                    "alpha": ALPHA,
                    "networks": rows,
                },
            )


if __name__ == "__main__":
    main()
