"""Weights that are handed on from layer to layer, on every trained network of the book.

    python studies/chained.py [RUN ...]

For runs of results/ with weights, by default all: the constant a with the weights and multipliers
of all layers taken together, and the seconds that this takes on one thread. Written to
results/chained.json, beside what is there; results/multipliers.json has what it is compared with.
"""

import argparse
from time import perf_counter

import torch

from forward_stability.certificates import certify
from forward_stability.experiments.provenance import environment, results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import read_json, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of results/ (default: all)")
    torch.set_num_threads(1)
    root = results_root()
    file = root / "chained.json"
    networks = read_json(file)["networks"] if file.is_file() else {}
    every = sorted(path.parent.name for path in root.glob("*/weights.safetensors"))
    for name in parser.parse_args().runs or every:
        run = Run(root / name)
        _, height, width = run.info["data"]["image_shape"]
        start = perf_counter()
        report = certify(run.network().double().eval(), (height, width), chained=True)
        seconds = perf_counter() - start
        networks[name] = {
            "chained": report["best"].a,
            "seconds": round(seconds),
            "commit": environment("cpu")["commit"],
        }
        print(name, networks[name]["chained"], round(seconds), flush=True)
        stored = {"command": "python studies/chained.py", "environment": environment("cpu")}
        write_json(file, stored | {"networks": networks})


if __name__ == "__main__":
    main()
