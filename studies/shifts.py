"""Test accuracy of trained networks on shifted images.

    python studies/shifts.py RUN [RUN ...] [--out FILE]

Each test image is shifted along both diagonals of the augmentation by up to 4 pixels, over the
border that augmentation pads with. A network whose convolutions are periodic joins opposite edges
of an image; the border keeps them apart, and only 1 of 81 training images has none. Beside it, the
accuracy on as many training images as there are test images, drawn at random and left as they are.
"""

import argparse
from pathlib import Path

import torch

from forward_stability.errors import InputError
from forward_stability.experiments.data import PAD, augment, load_dataset
from forward_stability.experiments.device import choose_device
from forward_stability.experiments.evaluation import accuracy, predict
from forward_stability.experiments.provenance import command, environment
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_json
from forward_stability.experiments.training import generator


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    device = choose_device(args.device)
    rows = []
    for run in map(Run, args.runs):
        dataset = load_dataset(run.config.dataset, progress=False)
        if dataset.fingerprint != run.info["data"]["fingerprint"]:
            raise InputError(f"{run.config.dataset} is not the data that {run.folder} learnt from")
        network, border = run.network().to(device), dataset.border.to(device)

        def shifted(images: torch.Tensor, by: int, border: torch.Tensor = border) -> torch.Tensor:
            shifts = torch.full((len(images), 2), PAD + by, device=images.device)
            return augment(images, border, shifts, torch.zeros_like(shifts[:, 0]).bool())

        accuracies = {}
        for by in range(-PAD, PAD + 1):
            scores = predict(network, dataset.test_images, lambda x, by=by: shifted(x, by))
            accuracies[by] = accuracy(scores, dataset.test_labels)
        order = torch.randperm(len(dataset.train_images), generator=generator(0, "shifts", 0))
        chosen = order[: len(dataset.test_images)]
        known = accuracy(
            predict(network, dataset.train_images[chosen]), dataset.train_labels[chosen]
        )
        rows.append({"run": run.folder.name, "accuracy": accuracies, "training_accuracy": known})
        print(f"{run.folder.name}, training images: {known:.4f}")
        print(f"{run.folder.name}: " + "  ".join(f"{b:+d} {a:.4f}" for b, a in accuracies.items()))
    if args.out:
        content = {"command": command(), "environment": environment(device), "rows": rows}
        write_json(args.out, content)


if __name__ == "__main__":
    main()
