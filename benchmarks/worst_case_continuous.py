"""The hunt of chapters 4 to 6 at full size: python benchmarks/worst_case_continuous.py

For each of Eqs. 7, 8, 10, 12 and 13: 100,000 random networks, and gradient ascent from 96 random
starts in dimensions 2, 3 and 5; the ten best of each dimension are measured again by the
independent solution. Writes results/worst_case_continuous.json. Takes about ten minutes on two
cores.
"""

import json
import platform
import subprocess
import time
from pathlib import Path

import torch

from forward_stability.growth import EQUATIONS
from forward_stability.worst_case import random_instance, ratio, reference_ratio, search

ROOT = Path(__file__).resolve().parent.parent
SEED, RANDOM, RESTARTS, ITERATIONS = 0, 20_000, 32, 400
DIMENSIONS_RANDOM, DIMENSIONS_SEARCH = (1, 2, 4, 8, 16), (2, 3, 5)
LAYERS = 64


def processor() -> str:
    """The processor's name where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


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
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    result = {
        "seed": SEED,
        "commit": commit,
        "hardware": processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "random": {"networks": RANDOM * len(DIMENSIONS_RANDOM), "d": DIMENSIONS_RANDOM},
        "search": {"restarts": RESTARTS * len(DIMENSIONS_SEARCH), "iterations": ITERATIONS},
        "equations": {
            str(equation): {"random": random_largest(equation), "search": searched(equation)}
            for equation in EQUATIONS
        },
    }
    result["seconds"] = round(time.time() - begin)
    path = ROOT / "results" / "worst_case_continuous.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)} after {result['seconds']} s")


if __name__ == "__main__":
    main()
