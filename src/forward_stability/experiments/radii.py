"""Certified radii of a trained network, and attacks on it from the other side. Chapter 15."""

from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from forward_stability.attack import pgd_attack, search_attack
from forward_stability.certificates import certify
from forward_stability.experiments.data import Dataset, scale
from forward_stability.experiments.provenance import environment
from forward_stability.experiments.runs import Run
from forward_stability.experiments.training import generator
from forward_stability.models import check_positive
from forward_stability.radius import certifier

RADII = (36 / 255, 72 / 255, 108 / 255)
"""The radii at which the literature compares certified accuracies."""


def measure_radii(
    run: Run,
    dataset: Dataset,
    *,
    images: int = 1000,
    steps: int = 100,
    restarts: int = 10,
    multipliers: bool = False,
    chained: bool = False,
) -> dict[str, Any]:
    r"""Certified radii of a trained network, and attacks on it.

    The radii are of all test images. The attacks are on a random choice of them. In the ball of the
    certified radius of each image, with any pixel values, both must fail, that which follows the
    gradient and that which searches at random, with as many evaluations. For each of :data:`RADII`
    the first is tried with pixels in [0, 1] on the images not certified at that radius. Whether an
    attack has succeeded is decided in float64.

    Args:
        run: of a trained network.
        dataset: the data it was trained on.
        images: how many test images are attacked.
        steps, restarts: of the attack.
        multipliers, chained: as for :func:`~forward_stability.certificates.certify`.

    Returns:
        ready for JSON: accuracies as fractions, radii in units of pixels in [0, 1].

    Raises:
        InputError: if a number is below 1.

    Source: Theorem 6, sharpened. Chapter 15.
    """
    check_positive(images=images, steps=steps, restarts=restarts)
    network, (height, width) = run.network(), dataset.test_images.shape[2:]
    report = certify(network, (height, width))
    certificate = certifier(network, (height, width), multipliers, chained)

    def certify_images(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each answer is right, and the certified radius."""
        parts = zip(x.split(100), labels.split(100), strict=True)
        scores, radii = zip(*(certificate.radii(*part) for part in parts), strict=True)
        return torch.cat(scores).argmax(1) == labels, torch.cat(radii)

    pixels, labels = scale(dataset.test_images), dataset.test_labels
    right, radii = certify_images(pixels, labels)

    chosen = torch.randperm(len(labels), generator=generator(0, "certify", 0))[:images]
    x, t, R, right_chosen = pixels[chosen], labels[chosen], radii[chosen], right[chosen]

    def broken(attack: Callable[..., Tensor], which: Tensor, radius: Tensor) -> Tensor:
        """Which of the chosen images an attack on some of them turns, as a mask."""
        random, result = generator(0, "attack", 0), torch.zeros(len(t), dtype=torch.bool)
        for part in which.nonzero()[:, 0].split(100):
            y = attack(network, x[part], t[part], radius[part], random=random)
            distance = (y.double() - x[part].double()).flatten(1).norm(dim=1)
            inside = distance <= radius[part] * (1 + 1e-5)  # the ball, up to float32
            correct, _ = certify_images(y, t[part])
            result[part] = ~correct & inside
        return result

    descent = partial(pgd_attack, steps=steps, restarts=restarts)
    search = partial(search_attack, steps=steps * restarts)
    median = radii[radii > 0].median().item() if bool((radii > 0).any()) else 0.0
    within, searched = (
        broken(partial(attack, box=None), R > 0, R * (1 - 1e-5)) for attack in (descent, search)
    )
    entry: dict[str, Any] = {
        "network": network.name,
        "hypotheses_hold": report.hypotheses_hold,
        "constant": certificate.constant,
        "multipliers": multipliers,
        "chained": chained,
        "test_images": len(labels),
        "clean": right.double().mean().item(),
        "median_radius": median if isfinite(median) else None,  # None: no image matters
        "radii": list(RADII),
        "certified": [(radii > r).double().mean().item() for r in RADII],
        "curve": {
            "radius": [k / 100 for k in range(101)],
            "certified": [(radii > k / 100).double().mean().item() for k in range(101)],
        },
        "attack": {
            "images": len(t),
            "steps": steps,
            "restarts": restarts,
            "clean": right_chosen.double().mean().item(),
            "certified": [(r < R).double().mean().item() for r in RADII],
            "accuracy": [],
            "inside_certified_radius": {
                "attacked": int((R > 0).sum()),
                "successes": int(within.sum()),
            },
        },
        "search": {
            "steps": steps * restarts,
            "attacked": int((R > 0).sum()),
            "successes": int(searched.sum()),
        },
        "environment": environment("cpu"),
    }
    for r in RADII:
        turned = broken(
            partial(descent, box=(0.0, 1.0)), right_chosen & (r >= R), torch.full_like(R, r)
        )
        entry["attack"]["accuracy"].append((right_chosen & ~turned).double().mean().item())
    return entry
