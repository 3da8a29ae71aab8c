"""What decides how far a network can be certified: one ingredient changed at a time.

Each row is a short training of the same network but for one ingredient, from the same seed, and
its clean and certified accuracy on a random choice of test images. The rows say which ingredient
matters, not how good it can get: the trainings are far from converged. Writes
``results/constrained.json`` row by row; rows that are there are kept.

    python studies/constrained.py --dataset imagefolder:DIR

Chapter 15.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from forward_stability.experiments.config import Beyond, Config
from forward_stability.experiments.data import Dataset, load_dataset, scale
from forward_stability.experiments.provenance import command, environment, results_root
from forward_stability.experiments.radii import RADII
from forward_stability.experiments.storage import read_json, write_json
from forward_stability.experiments.training import Trainer, generator
from forward_stability.layers import Classifier, Convolution, ResidualS
from forward_stability.radius import certifier

BASE = Config(
    variant="S", blocks=1, width=16, steps=800, decay_every=550, learning_rate=0.01,
    beyond=Beyond(
        temperature=0.25, margin=1.0, constraint="theorem", pooling_bound=0.02,
        initialisation="identity", images="halved", head="flattened",
    ),
)  # fmt: skip

PLAIN = {"margin": 0.0}
PAPER = {
    **{name: getattr(Beyond, name) for name in ("constraint", "pooling_bound", "initialisation")},
    **{"temperature": 1.0, "margin": 0.0, "learning_rate": 0.1},
}

ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "base": ("", {}),
    "ρ = 0.3": ("margin", {"margin": 0.3}),
    "ρ = 0, T = 0.05": ("margin", {**PLAIN, "temperature": 0.05}),
    "ρ = 0, T = 0.1": ("margin", {**PLAIN, "temperature": 0.1}),
    "ρ = 0, T = 0.25": ("margin", PLAIN),
    "ρ = 0, T = 0.5": ("margin", {**PLAIN, "temperature": 0.5}),
    "ρ = 0, T = 1": ("margin", {**PLAIN, "temperature": 1.0}),
    "global pooling": ("head", {"head": "global"}),
    "larger final map": ("head", {"images": "full"}),
    "c = 0.1": ("pooling filters", {"pooling_bound": 0.1}),
    "c = 0.5": ("pooling filters", {"pooling_bound": 0.5}),
    "c = 1": ("pooling filters", {"pooling_bound": 1.0}),
    "on the boundary": ("initialisation", {"initialisation": "paper"}),
    "isometry": ("initialisation", {"initialisation": "isometry"}),
    "none": ("outer ReLU", {"outer": "none"}),
    "none, isometry": ("outer ReLU", {"outer": "none", "initialisation": "isometry"}),
    "8 channels": ("width", {"width": 8}),
    "32 channels": ("width", {"width": 32}),
    "m = 2": ("depth", {"blocks": 2}),
    "m = 4": ("depth", {"blocks": 4}),
    "half the rate": ("learning rate", {"learning_rate": 0.005}),
    "twice the rate": ("learning rate", {"learning_rate": 0.02}),
    "three times the steps": ("training", {"steps": 2400, "decay_every": 1650}),
    "‖A⁰‖ free": ("hypothesis", {"free": Convolution}),
    "‖Aⁿ‖ free": ("hypothesis", {"free": ResidualS}),
    "‖W‖ free": ("hypothesis", {"free": Classifier}),
    "no constraint, batch norm": ("hypothesis", PAPER),
    "the same, global pooling": ("hypothesis", {**PAPER, "head": "global"}),
    "ResNet-D": ("layer", {"variant": "D"}),
}


def measure(
    config: Config, dataset: Dataset, free: type | None, images: int, average: bool = False
) -> dict[str, Any]:
    """Train and certify.

    Args:
        config, dataset: what.
        free: a kind of layer whose norm balls are left out.
        images: of the test, to be certified.
        average: certify a running average of the weights, over a hundred steps or so.
    """
    config = config.resolved(len(dataset.train_images))
    trainer, start = Trainer(config, dataset, "cpu"), time.perf_counter()
    for layer in trainer.network.layers:
        if free and isinstance(layer, free):
            for module in layer.modules():
                if parametrize.is_parametrized(module, "weight"):
                    # Not infinity, which divided by itself is no number.
                    module.parametrizations["weight"][0].radius = 1e6  # type: ignore
    network, averaged, losses = trainer.network, None, []
    if average:
        averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    for step in range(config.steps):
        losses.append(trainer.step(step))
        if averaged:
            averaged.update_parameters(network)
    seconds = time.perf_counter() - start
    chosen = torch.randperm(len(dataset.test_labels), generator=generator(0, "certify", 0))
    x, y = (t[chosen[:images]] for t in (dataset.test_images, dataset.test_labels))
    certified = averaged.module if averaged else network
    certificate = certifier(certified.eval(), (x.shape[2], x.shape[3]))
    parts = [
        certificate.radii(scale(a), b) for a, b in zip(x.split(100), y.split(100), strict=True)
    ]
    scores, radii = (torch.cat(part) for part in zip(*parts, strict=True))
    return {
        "loss": torch.stack(losses[-100:]).mean().item(),
        "clean": (scores.argmax(1) == y).double().mean().item(),
        "certified": [(radii > r).double().mean().item() for r in RADII],
        "constant": certificate.constant,
        "parameters": trainer.network.parameter_count,
        "seconds": round(seconds, 1),
    }


def measured(path: Path) -> list[dict[str, Any]]:
    """The rows that are there."""
    return read_json(path)["rows"] if path.is_file() else []


def store(path: Path, rows: list[dict[str, Any]], dataset: Dataset, **about: Any) -> None:
    """Write the rows, and what they depend on."""
    table = {
        "rows": rows,
        "command": command(),
        "data": dataset.fingerprint,
        "batch_size": BASE.batch_size,
        "radii": list(RADII),
        "environment": environment("cpu"),
    }
    write_json(path, table | about)


def main() -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--images", type=int, default=2000, help="test images (default: 2000)")
    args = parser.parse_args()
    dataset, path = load_dataset(args.dataset), results_root() / "constrained.json"
    for name in args.rows:
        ingredient, changes = ROWS[name]
        changes = dict(changes)
        free = changes.pop("free", None)
        if name in [row["name"] for row in measured(path)]:
            continue
        result = measure(BASE.changed(**changes), dataset, free, args.images)
        rows = [*measured(path), {"name": name, "ingredient": ingredient, **result}]
        rows.sort(key=lambda row: list(ROWS).index(row["name"]))
        store(path, rows, dataset, steps=BASE.steps, test_images=args.images)
        print(name, result, flush=True)


if __name__ == "__main__":
    main()
