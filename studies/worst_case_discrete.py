"""How tight the constants of Theorems 5 and 6 are: python studies/worst_case_discrete.py

For ResNet-D and ResNet-S: on 8x8 images of one channel untrained networks with m = 3, 6, 9, 12,
the same ones scaled to satisfy the hypotheses, and the trained runs given as arguments (default:
those of the digits, m = 3, at their own size). For each: the constants as printed, corrected,
sharpened and best; the largest ratio found by the search over all pairs (global) and over all pairs
of images with values in [0, 1]; the largest norm of a Jacobian at an image (local). Writes
results/worst_case_discrete.json. Takes ten minutes on two cores.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from math import sqrt

import torch
from torch import Tensor

from forward_stability.certificates import certify_layers
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.provenance import command, environment, results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_json
from forward_stability.folded_residual import FoldedSymmetric
from forward_stability.folding import FoldedConv, FoldedLinear, forward
from forward_stability.graph import fold
from forward_stability.layer import Folded
from forward_stability.models import Network
from forward_stability.spectral import conv_norm
from forward_stability.worst_pair import find_worst_pair, local_norm

SEED, SIZE, RESTARTS, STEPS = 0, (8, 8), 6, 80
RUNS = ("digits-D-m3-seed0", "digits-S-m3-seed0")


def scaled(layers: list[Folded]) -> list[Folded]:
    """The network with the norms of the first and last layer at 1, those of ResNet-S at √2."""
    size, result = SIZE, []
    for layer in layers:
        if isinstance(layer, FoldedConv):
            layer = replace(layer, K=layer.K / conv_norm(layer.K, size))
        elif isinstance(layer, FoldedLinear):
            layer = replace(layer, W=layer.W / torch.linalg.matrix_norm(layer.W, 2))
        elif isinstance(layer, FoldedSymmetric):
            one = torch.ones_like(layer.d1)
            K = layer.K * sqrt(2) / conv_norm(layer.K, size)
            layer = replace(layer, K=K, d1=one, d2=one)
        elif hasattr(layer, "K"):
            size = (size[0] // 2, size[1] // 2)
        result.append(layer)
    return result


def entry(name: str, state: str, layers: list[Folded], images: Tensor, mean: float) -> dict:
    """The constants and the ratios found for one network; its inputs are images less ``mean``."""
    start, size = time.perf_counter(), (images.shape[2], images.shape[3])
    report, f = certify_layers(layers, size, name), partial(forward, layers)
    anywhere = find_worst_pair(f, 4 * (images - mean), steps=STEPS, seed=SEED)
    within = find_worst_pair(f, images - mean, steps=STEPS, box=(-mean, 1 - mean), seed=SEED)
    local = local_norm(f, images - mean, steps=50, seed=SEED)[0]
    found = max(anywhere.ratio, within.ratio)
    assert found <= report["best"].a
    result = {
        "network": name,
        "state": state,
        "size": size,
        "hypotheses_hold": report.hypotheses_hold,
        "constants": {c.name: {"a": c.a, "proven": c.a_proven} for c in report.constants},
        "global": anywhere.ratio,
        "images": within.ratio,
        "local": float(local.max()),
        "restarts": len(anywhere.ratios),
        "restarts_within_1_percent": int((anywhere.ratios > 0.99 * anywhere.ratio).sum()),
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(name, state, f"found {found:.4g}, proven {report['best'].a:.4g}", flush=True)
    return result


def main(names: list[str]) -> None:
    results = []
    for name in names or RUNS:
        run = Run(name)
        network = run.network()
        mean = float(network.get_buffer("mean"))
        images = scale(load_dataset(run.config.dataset).test_images[:RESTARTS]).double()
        results.append(entry(network.name, f"trained: {name}", fold(network), images, mean))
    generator = torch.Generator().manual_seed(SEED)
    images = torch.rand(RESTARTS, 1, *SIZE, generator=generator, dtype=torch.float64)
    images[::3] = images[::3].mean((-2, -1), keepdim=True)
    for variant in ("D", "S"):
        for blocks in (3, 6, 9, 12):
            torch.manual_seed(SEED)
            network = Network(variant, blocks, channels=1)
            layers = fold(network)
            results.append(entry(network.name, "untrained", layers, images, 0.5))
            results.append(entry(network.name, "scaled", scaled(layers), images, 0.5))
    table = {
        "command": command(),
        "seed": SEED,
        "steps": STEPS,
        "environment": environment("cpu"),
        "results": results,
    }
    write_json(results_root() / "worst_case_discrete.json", table)


if __name__ == "__main__":
    main(sys.argv[1:])
