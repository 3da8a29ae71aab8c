"""Test accuracy of trained networks on the images of CIFAR-10 and on their re-encoding as JPEG.

    python studies/reencoding.py RUN [RUN ...] [--out FILE]

Both data sets must hold the same images in the same order, as two folders of images with the same
file names do. How far apart they are is measured, too: the root mean square over all pixels and
channels of the test images, in [0, 1], as σ of Eq. 28 is.
"""

import argparse
from pathlib import Path

import torch

from forward_stability.errors import InputError
from forward_stability.experiments.data import Dataset, load_dataset, scale
from forward_stability.experiments.device import choose_device
from forward_stability.experiments.evaluation import accuracy, predict
from forward_stability.experiments.provenance import command, environment
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_json


def distance(a: Dataset, b: Dataset) -> float:
    """The root mean square of the difference of the test images, in [0, 1].

    Raises:
        InputError: if the labels differ.
    """
    if not torch.equal(a.test_labels, b.test_labels):
        raise InputError(f"{a.name} and {b.name} do not hold the same images in the same order")
    parts = zip(a.test_images.split(1000), b.test_images.split(1000), strict=True)
    squares = [(scale(x) - scale(y)).square().double().mean() for x, y in parts]
    return torch.stack(squares).mean().sqrt().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--original", default="imagefolder:cifar10", metavar="DATASET")
    parser.add_argument("--jpeg", default="imagefolder:cifar10-jpeg", metavar="DATASET")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    device = choose_device(args.device)
    names = {"original": args.original, "jpeg": args.jpeg}
    datasets = {key: load_dataset(name, progress=False) for key, name in names.items()}
    apart = distance(datasets["original"], datasets["jpeg"])
    print(f"root mean square difference of the test images: {apart:.4f}")
    rows = []
    for run in map(Run, args.runs):
        network, known = run.network().to(device), run.info["data"]["fingerprint"]
        learnt = [key for key, dataset in datasets.items() if dataset.fingerprint == known]
        if not learnt:
            raise InputError(f"{run.folder} learnt from neither of the data sets")
        found = {
            key: accuracy(predict(network, dataset.test_images), dataset.test_labels)
            for key, dataset in datasets.items()
        }
        rows.append({"run": run.folder.name, "trained_on": learnt[0], "accuracy": found})
        print(f"{run.folder.name}: " + "  ".join(f"{k} {a:.4f}" for k, a in found.items()))
    if args.out:
        content = {
            "command": command(),
            "environment": environment(device),
            "data": {
                key: {
                    "fingerprint": dataset.fingerprint,
                    "channel_means": (255 * dataset.mean).flatten().tolist(),
                }
                for key, dataset in datasets.items()
            },
            "root_mean_square": apart,
            "rows": rows,
        }
        write_json(args.out, content)


if __name__ == "__main__":
    main()
