"""The inequality of chapter 15 on every trained network: constants, and what a search attains.

    python studies/multipliers.py

For each folder of results/ with weights: the constant a by Theorem 5 or 6 (sharpened), by the
midpoint and the weighted norms, by multipliers; what the steepest of a few pairs of inputs attains;
and for each residual layer the three constants and the seconds that multipliers take, on one
thread. Written to results/multipliers.json.
"""

import argparse
from time import perf_counter

import torch

from forward_stability.certificates import certify
from forward_stability.experiments.provenance import command, environment, results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_json
from forward_stability.folding import forward, input_sizes
from forward_stability.graph import fold
from forward_stability.worst_pair import find_worst_pair


def study(folder: str, steps: int, pairs: int, seed: int) -> dict:
    """The row of one network."""
    run = Run(folder)
    network = run.network().double().eval()
    channels, *size = run.info["data"]["image_shape"]
    height, width = size
    layers = fold(network)
    plain, sharp = (certify(network, (height, width), multipliers=m) for m in (False, True))
    rows = []
    for before, after, layer, entry in zip(
        plain.layers, sharp.layers, layers, input_sizes(layers, (height, width)), strict=True
    ):
        start = perf_counter()
        if layer.sharper(entry) is not None:
            rows.append(
                {
                    "layer": before.index,
                    "size": entry,
                    "theorem": before.lipschitz,
                    "midpoint": before.best,
                    "multipliers": after.best,
                    "seconds": round(perf_counter() - start, 2),
                }
            )
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(pairs, channels, height, width, generator=generator, dtype=torch.float64)
    found = find_worst_pair(lambda x: forward(layers, x), network.centred(images), steps=steps)
    return {
        "hypotheses_hold": plain.hypotheses_hold,
        "theorem": plain["sharpened"].a,
        "midpoint": plain["best"].a,
        "multipliers": sharp["best"].a,
        "found": found.ratio,
        "layers": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=60, help="of the search, for each network")
    parser.add_argument("--pairs", type=int, default=4, help="that the search starts from")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    root = results_root()
    networks = {}
    for path in sorted(root.glob("*/weights.safetensors")):
        name = path.parent.name
        networks[name] = study(name, args.steps, args.pairs, args.seed)
        row = networks[name]
        print(name, {k: v for k, v in row.items() if k != "layers"}, flush=True)
    write_json(
        root / "multipliers.json",
        {
            "command": command(),
            "steps": args.steps,
            "pairs": args.pairs,
            "seed": args.seed,
            "environment": environment("cpu"),
            "networks": networks,
        },
    )


if __name__ == "__main__":
    main()
