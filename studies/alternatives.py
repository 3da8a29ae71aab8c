"""What else was tried for the certified hour: one thing changed at a time.

Each row is the network with lifted features of ``hour.py`` but for one thing, with three trainings
whose seeds are the same in all rows, and as many images as there. The rows at the end have other
depths, and see more images. Writes ``results/alternatives.json`` row by row; rows that are there
are kept.

    python studies/alternatives.py --dataset imagefolder:DIR

Chapter 15.
"""

import argparse
from functools import partial
from typing import Any

from constrained import BASE, measure, measured, store
from hour import IMAGES, LADDER, SEEDS
from other_layers import separable, sorted_orthogonal, with_layers

from forward_stability.book.contest import operations
from forward_stability.experiments.data import load_dataset
from forward_stability.experiments.provenance import results_root

START = "m = 2, outer ReLU, lifted by 1"
"""The row of ``hour.py`` that is changed."""

LONGER = {"steps": 1600}

ROWS: dict[str, dict[str, Any]] = {
    "ρ = 0.4": {"margin": 0.4},
    "no weight decay": {"alpha": 0.0},
    "batches of 256": {"batch_size": 256, "steps": 400},
    "averaged weights": {"average": True},
    "orthogonal and MaxMin": {
        "lift": 0.0,
        "residual": partial(sorted_orthogonal, first=16, side=16),
    },
    "depth-wise and 1×1, 24 channels": {"width": 24, "residual": separable},
    "m = 3, start near the identity": {"blocks": 3, "initialisation": "identity"},
    "m = 1, longer": {**LONGER, "blocks": 1},
    "m = 2, longer": LONGER,
    "m = 3, longer": {**LONGER, "blocks": 3},
}


def main() -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    args = parser.parse_args()
    dataset, path = load_dataset(args.dataset), results_root() / "alternatives.json"
    start = BASE
    for name, changes in LADDER:
        start = start.changed(**changes)
        if name == START:
            break
    for name in args.rows:
        changes = dict(ROWS[name])
        average, residual = changes.pop("average", False), changes.pop("residual", None)
        if name in [row["name"] for row in measured(path)]:
            continue
        configs = [start.changed(**changes, seed=seed) for seed in SEEDS]
        if residual:
            configs = [with_layers(config, residual) for config in configs]
        runs = [measure(config, dataset, None, IMAGES, average) for config in configs]
        row = {"name": name, "steps": configs[0].steps, "operations": operations(configs[0])}
        row |= {"batch_size": configs[0].batch_size, "runs": runs}
        rows = sorted([*measured(path), row], key=lambda row: list(ROWS).index(row["name"]))
        store(path, rows, dataset, seeds=list(SEEDS), test_images=IMAGES)
        print(name, runs, flush=True)


if __name__ == "__main__":
    main()
