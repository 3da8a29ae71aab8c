"""Answers with a certified radius above 0, checked in exact arithmetic.

    python studies/exact_answers.py [--checks 100000] [--seed 0]

Networks of one pixel: a convolution, layers of ResNet-S with biases of all magnitudes, a classifier
whose scores agree at one image; the others lie around it, as near as 10^-16. Where the certificate
says R > 0, the scores are computed in fractions: the answer must have the largest one. Of answers
that are not certified, a few are computed, too: how many are wrong says how hostile the search is.
Written to results/exact_answers.json. Exit status 1 if a certified answer is wrong.
"""

import argparse
import sys
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from forward_stability.certificates import certify_layers
from forward_stability.experiments.provenance import command, environment, results_root
from forward_stability.experiments.storage import write_json
from forward_stability.folded_residual import FoldedSymmetric
from forward_stability.folding import FoldedConv, FoldedFlattening, FoldedLinear, forward
from forward_stability.layer import Folded
from forward_stability.radius import Certifier, row_distances

CLASSES, WIDTH, IMAGES, OTHERS = 3, 2, 200, 5
CENTRE = torch.full((1, WIDTH, 1, 1), 0.6, dtype=torch.float64)


def exact(x: Tensor) -> np.ndarray:
    """The numbers as fractions."""
    return np.vectorize(Fraction)(x.numpy().astype(object))


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def magnitude(low: float, high: float) -> float:
    return float(10 ** torch.empty(()).uniform_(low, high))


def random_network() -> list[Folded]:
    """A network of one pixel; hidden units may dwarf the features by up to 10^16."""
    one = torch.ones(WIDTH, dtype=torch.float64)
    layers: list[Folded] = [FoldedConv(randn(WIDTH, WIDTH, 1, 1), magnitude(-3, 3) * randn(WIDTH))]
    for _ in range(int(torch.randint(1, 4, ()))):
        K = randn(WIDTH, WIDTH, 1, 1)
        K = K / torch.linalg.matrix_norm(K[..., 0, 0]) * 1.4
        if torch.rand(()) < 0.3:
            K = torch.eye(WIDTH, dtype=torch.float64)[..., None, None]
        bias = magnitude(-3, 16)
        b1 = bias * randn(WIDTH).abs()
        # b2 undoes what b1 pushes away, so that the features survive.
        b2 = (K[..., 0, 0].T @ torch.relu(b1)) + magnitude(-3, 1) * randn(WIDTH)
        layers.append(FoldedSymmetric(K, b1, b2, one, one))
    layers.append(FoldedFlattening())
    W = randn(CLASSES, WIDTH)
    return [*layers, FoldedLinear(W, -W @ forward(layers, CENTRE)[0])]


def scores(layers: list[Folded], x: np.ndarray) -> np.ndarray:
    """The scores of the network in fractions."""
    relu = np.vectorize(lambda z: max(z, Fraction(0)))
    for layer in layers:
        match layer:
            case FoldedConv(K, b):
                x = exact(K[..., 0, 0]) @ x + exact(b)
            case FoldedSymmetric(K, b1, b2):
                A = exact(K[..., 0, 0])
                x = relu(x - A.T @ relu(A @ x + exact(b1)) + exact(b2))
            case FoldedLinear(W, b):
                x = exact(W) @ x + exact(b)
    return x


def check(layers: list[Folded]) -> dict[str, int]:
    """How many answers are certified, and how many of these and of some others are wrong."""
    *front, classifier = layers
    assert isinstance(classifier, FoldedLinear)
    report = certify_layers(front, (1, 1))
    constants, mean = [r.best for r in report.layers], torch.zeros(WIDTH, 1, 1).double()
    distances = row_distances(classifier.W)
    certificate = Certifier(front, constants, classifier, mean, distances, report["best"].a)
    x = CENTRE + magnitude(-16, 0) * randn(IMAGES, WIDTH, 1, 1)
    answers = forward(layers, x).argmax(1)
    _, R = certificate.radii(x, answers)
    counts = {"certified": 0, "certified and wrong": 0, "others": 0, "others and wrong": 0}
    for k, answer in enumerate(answers.tolist()):
        kind = "certified" if float(R[k]) > 0 else "others"
        if kind == "others" and counts["others"] == OTHERS:
            continue
        y = scores(layers, exact(x[k].flatten()))
        counts[kind] += 1
        counts[f"{kind} and wrong"] += any(y[answer] <= y[j] for j in range(CLASSES) if j != answer)
    return counts


def main() -> int:
    """Draw networks until enough answers are checked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--checks", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    total: dict[str, int] = {"networks": 0}
    while total.get("certified", 0) < args.checks:
        for key, number in check(random_network()).items():
            total[key] = total.get(key, 0) + number
        total["networks"] += 1
    print(total)
    content = {"command": command(), "environment": environment("cpu"), "seed": args.seed, **total}
    write_json(results_root() / "exact_answers.json", content)
    return int(total["certified and wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
