"""Weights that are handed on from layer to layer, on every trained network of the book.

    python studies/chained.py

For each folder of results/ with weights: the constant a with the weights and multipliers of all
layers taken together, and the seconds that this takes on one thread. Written to
results/chained.json; results/multipliers.json has what it is compared with.
"""

import argparse
from time import perf_counter

import torch

from forward_stability.certificates import certify
from forward_stability.experiments.provenance import command, environment, results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.parse_args()
    torch.set_num_threads(1)
    root, networks = results_root(), {}
    for path in sorted(root.glob("*/weights.safetensors")):
        run = Run(path.parent)
        _, height, width = run.info["data"]["image_shape"]
        start = perf_counter()
        report = certify(run.network().double().eval(), (height, width), chained=True)
        seconds = perf_counter() - start
        row = networks[path.parent.name] = {"chained": report["best"].a, "seconds": round(seconds)}
        print(path.parent.name, row, flush=True)
    stored = {"command": command(), "environment": environment("cpu"), "networks": networks}
    write_json(root / "chained.json", stored)


if __name__ == "__main__":
    main()
