"""The hunt of chapters 4 to 6 at full size: python studies/worst_case_continuous.py

For each of Eqs. 7, 8, 10, 12 and 13: 100,000 random networks, and gradient ascent from 96 random
starts in dimensions 2, 3 and 5; the ten best of each dimension are measured again by the
independent solution. Writes results/worst_case_continuous.json. Takes about ten minutes on two
cores.
"""

import time

import torch

from forward_stability.experiments.provenance import command, environment, results_root
from forward_stability.experiments.storage import write_json
from forward_stability.growth import EQUATIONS
from forward_stability.worst_case import random_instance, ratio, reference_ratio, search

SEED, RANDOM, RESTARTS, ITERATIONS = 0, 20_000, 32, 400
DIMENSIONS_RANDOM, DIMENSIONS_SEARCH = (1, 2, 4, 8, 16), (2, 3, 5)
LAYERS = 64


def random_largest(equation: int) -> dict[str, float]:
    """The largest ratio of random networks, and the scheme's error on these ratios."""
    generator = torch.Generator().manual_seed(SEED)
    largest, error = 0.0, 0.0
    for d in DIMENSIONS_RANDOM:
        found = random_instance(equation, RANDOM, d, generator, norm=None)
        with torch.no_grad():
            coarse, fine = ratio(equation, found, LAYERS // 2), ratio(equation, found, LAYERS)
        largest = max(largest, fine.max().item())
        error = max(error, (coarse - fine).abs().max().item())
    return {"largest": largest, "scheme_error": error}


def searched(equation: int) -> list[dict[str, float]]:
    """For each dimension the best ratio by the scheme and by the independent solution."""
    rows = []
    for d in DIMENSIONS_SEARCH:
        best, height = search(equation, d, RESTARTS, ITERATIONS, SEED)
        top = height.argsort(descending=True)[:10].tolist()
        reference = max(reference_ratio(equation, best.take(i)) for i in top)
        rows.append(
            {
                "d": d,
                "scheme": height.max().item(),
                "scheme_median": height.median().item(),
                "reference": reference,
            }
        )
    return rows


def main() -> None:
    """Run everything and write the file."""
    begin = time.time()
    result = {
        "seed": SEED,
        "command": command(),
        "environment": environment("cpu"),
        "random": {"networks": RANDOM * len(DIMENSIONS_RANDOM), "d": DIMENSIONS_RANDOM},
        "search": {"restarts": RESTARTS * len(DIMENSIONS_SEARCH), "iterations": ITERATIONS},
        "equations": {
            str(equation): {"random": random_largest(equation), "search": searched(equation)}
            for equation in EQUATIONS
        },
    }
    result["seconds"] = round(time.time() - begin)
    write_json(results_root() / "worst_case_continuous.json", result)
    print(f"done in {result['seconds']} s")


if __name__ == "__main__":
    main()
