"""How far a network is certified after two epochs, as one ingredient after another is added.

Where ``constrained.py`` changes one ingredient of a network at a time, here each row keeps those of
the rows above; the last two go back to m = 2 and change its layers. Each has three trainings, whose
seeds are the same in all rows. Writes ``results/hour.json`` row by row; rows that are there are
kept.

    python studies/hour.py --dataset imagefolder:DIR

Chapter 15.
"""

import argparse
from typing import Any

from constrained import BASE, measure, measured, store

from forward_stability.book.contest import operations
from forward_stability.experiments.data import load_dataset
from forward_stability.experiments.provenance import results_root

LADDER: list[tuple[str, dict[str, Any]]] = [
    ("the base above", {}),
    ("images unshuffled, not halved", {"images": "unshuffled"}),
    ("unshuffling, not pooling", {"pooling": "unshuffling", "pooling_bound": 0.5}),
    ("isometric start", {"initialisation": "isometry"}),
    (
        "one cycle of the rate, up to 0.05",
        {"schedule": "one-cycle", "learning_rate": 0.05, "decay_every": None},
    ),
    ("no outer ReLU", {"outer": "none"}),
    ("m = 2", {"blocks": 2}),
    ("m = 3", {"blocks": 3}),
    ("m = 2, outer ReLU, lifted by 1", {"blocks": 2, "outer": "relu", "lift": 1.0}),
    ("m = 2, MaxMin", {"lift": 0.0, "layers": "maxmin"}),
]
SEEDS, IMAGES = (0, 1, 2), 2000


def main() -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", default="cifar10")
    args = parser.parse_args()
    dataset, path = load_dataset(args.dataset), results_root() / "hour.json"
    config = BASE
    for name, changes in LADDER:
        config = config.changed(**changes)
        if name in [row["name"] for row in measured(path)]:
            continue
        runs = [measure(config.changed(seed=k), dataset, None, IMAGES) for k in SEEDS]
        row = {"name": name, "steps": config.steps, "operations": operations(config)}
        rows = [*measured(path), row | {"runs": runs}]
        store(path, rows, dataset, seeds=list(SEEDS), test_images=IMAGES)
        print(name, runs, flush=True)


if __name__ == "__main__":
    main()
