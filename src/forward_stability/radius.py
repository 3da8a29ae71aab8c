r"""Certified radii: how far an image may be moved, in any direction, before the answer can change.

If the features in front of the classifier have the Lipschitz constant L, then moving the image by
r moves the difference of the scores of classes t and j by at most :math:`L\,\|w_t - w_j\|\,r`. So
no perturbation of norm below

.. math:: R = \min_{j \ne t} \frac{y_t - y_j}{L\, \|w_t - w_j\|_2}

changes the answer t. From the other side, an attack looks for a small perturbation that does.
Distances are Euclidean, over all pixels and channels, with pixel values in [0, 1]. Chapter 15.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from forward_stability.certificates import ROUNDING, certify, certify_layers
from forward_stability.data import Dataset, scale
from forward_stability.errors import InputError
from forward_stability.folding import Folded, FoldedLinear, features, fold
from forward_stability.models import Network
from forward_stability.runs import Run, environment
from forward_stability.storage import write_json
from forward_stability.training import generator

RADII = (36 / 255, 72 / 255, 108 / 255)
"""The radii at which the literature compares certified accuracies."""


@dataclass(frozen=True)
class Certifier:
    """What a certificate needs of a network, computed once.

    Attributes:
        layers: the folded layers, in float64.
        mean: of the training images, which is subtracted from an image.
        distances: L ‖w_i − w_j‖ for each pair of classes, shape ``(classes, classes)``.
        constant: L, the smallest proven constant of all layers but the classifier.
        spread: a bound of what any rounding error of a layer is multiplied by further on.
    """

    layers: Sequence[Folded]
    mean: Tensor
    distances: Tensor
    constant: float
    spread: float

    @torch.no_grad()
    def radii(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        r"""The scores and the certified radii R of a batch.

        The differences of the scores are first reduced by a bound of the rounding errors of their
        computation.

        Args:
            images: in [0, 1], shape ``(batch, channels, height, width)``; computed in float64.
            labels: t, shape ``(batch,)``.

        Returns:
            float64, shapes ``(batch, classes)`` and ``(batch,)``; R = 0 where the answer is wrong.
        """
        states = features(self.layers, images.double() - self.mean)
        largest = torch.stack([z.flatten(1).norm(dim=1) for z in states]).amax(0)
        slack = ROUNDING * len(states) * self.spread * largest
        margins = states[-1].gather(1, labels[:, None]) - states[-1] - slack[:, None]
        ratios = margins / self.distances[labels]
        ratios.scatter_(1, labels[:, None], torch.inf)
        return states[-1], ratios.amin(1).clamp_min(0)


@torch.no_grad()
def certifier(network: Network, size: tuple[int, int]) -> Certifier:
    """The certifier of a network for images of one size.

    Args:
        network: in evaluation mode; any, but without the hypotheses of Theorem 6 the radii are
            tiny.
        size: the height and width of the images.

    Source: Theorem 6, sharpened. Chapter 15.
    """
    layers = fold(network)
    classifier = layers[-1]
    assert isinstance(classifier, FoldedLinear)
    report = certify_layers(layers[:-1], size)
    L, W = report["best"].a, classifier.W
    distances = L * torch.cdist(W, W, compute_mode="donot_use_mm_for_euclid_dist")
    distances *= 1 + ROUNDING * W.shape[1]
    spread = prod(max(1.0, r.best) for r in report.layers) * max(1.0, float(W.norm()))
    return Certifier(layers, network.get_buffer("mean").double(), distances, L, spread)


def attack(
    network: Network,
    images: Tensor,
    labels: Tensor,
    radius: Tensor,
    *,
    steps: int = 100,
    restarts: int = 10,
    box: tuple[float, float] | None = (0.0, 1.0),
    random: torch.Generator,
) -> Tensor:
    r"""Projected gradient descent inside an ℓ2 ball around each image, towards another answer.

    Each restart begins at a random point of the ball and aims at one other class, first at that
    with the second largest score, then at the next: steps along the normalised gradient of
    :math:`y_t - y_j`, of a length that falls from 2r to 0. An image is left alone once it is
    misclassified.

    Args:
        network: in evaluation mode.
        images: in [0, 1], float32, shape ``(batch, channels, height, width)``.
        labels: t, shape ``(batch,)``.
        radius: r of each ball, shape ``(batch,)``.
        steps: of the descent.
        restarts: how often it begins anew.
        box: what pixel values are kept to; None for any.
        random: draws the starts.

    Returns:
        the perturbed images, of the shape of ``images``; an image itself where the attack failed.

    Source: Madry et al. (2018), with a target a restart. Chapter 15.
    """
    if steps < 1 or restarts < 1:
        raise InputError(f"an attack needs steps and restarts, got {steps} and {restarts}")
    found = images.clone()
    with torch.no_grad():
        scores = network(images)
        order = scores.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)[:, :-1]
    left = torch.arange(len(images))[scores.argmax(1) == labels]
    for restart in range(restarts):
        if not len(left):
            break
        x, t, r = images[left], labels[left], _image(radius[left].to(images.dtype))
        target = order[left, restart % order.shape[1]]
        direction = torch.randn(x.shape, generator=random, dtype=x.dtype)
        length = torch.rand(len(x), generator=random, dtype=x.dtype) ** (1 / x[0].numel())
        y = _project(x, x + _unit(direction) * r * _image(length), r, box)
        active = torch.ones(len(left), dtype=torch.bool)
        for step in range(steps):
            y.requires_grad_()
            scores = network(y)
            wrong = scores.argmax(1) != t
            gap = scores.gather(1, t[:, None]) - scores.gather(1, target[:, None])
            (gradient,) = torch.autograd.grad(gap.sum(), y)
            with torch.no_grad():
                found[left[active][wrong]] = y[wrong]
                active[active.clone()] = ~wrong
                x, t, r, target = x[~wrong], t[~wrong], r[~wrong], target[~wrong]
                y = y[~wrong] - _unit(gradient[~wrong]) * r * (2 - 2 * step / steps)
                y = _project(x, y, r, box)
            if not len(y):
                break
        with torch.no_grad():
            if len(y):
                wrong = network(y).argmax(1) != t
                found[left[active][wrong]] = y[wrong]
                active[active.clone()] = ~wrong
        left = left[active]
    return found


def _image(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _unit(v: Tensor) -> Tensor:
    return v / _image(v.flatten(1).norm(dim=1).clamp_min(1e-30))


def _project(x: Tensor, y: Tensor, r: Tensor, box: tuple[float, float] | None) -> Tensor:
    """The nearest point of the ball, then of the box, which does not leave the ball again."""
    d = y - x
    y = x + d * (r / _image(d.flatten(1).norm(dim=1).clamp_min(1e-30))).clamp_max(1)
    return y if box is None else y.clamp(*box)


def certify_run(
    run: Run, dataset: Dataset, *, images: int = 1000, steps: int = 100, restarts: int = 10
) -> dict[str, Any]:
    r"""Certified radii of a trained network, and an attack on it; written to certificate.json.

    The radii are of all test images. The attack is on a random choice of them: once in the ball of
    the certified radius of each image, with any pixel values, where it must fail; and once for each
    of :data:`RADII`, with pixels in [0, 1], on the images not certified at that radius. Whether an
    attack has succeeded is decided in float64.

    Args:
        run: of a trained network.
        dataset: the data it was trained on.
        images: how many test images are attacked.
        steps, restarts: of the attack.

    Returns:
        what is written: accuracies as fractions, radii in units of pixels in [0, 1].

    Source: Theorem 6, sharpened. Chapter 15.
    """
    network, (height, width) = run.network(), dataset.test_images.shape[2:]
    report = certify(network, (height, width))
    certificate = certifier(network, (height, width))

    def certify_images(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each answer is right, and the certified radius."""
        parts = zip(x.split(100), labels.split(100), strict=True)
        scores, radii = zip(*(certificate.radii(*part) for part in parts), strict=True)
        return torch.cat(scores).argmax(1) == labels, torch.cat(radii)

    pixels, labels = scale(dataset.test_images), dataset.test_labels
    right, radii = certify_images(pixels, labels)

    chosen = torch.randperm(len(labels), generator=generator(0, "certify", 0))[:images]
    x, t, R, right_chosen = pixels[chosen], labels[chosen], radii[chosen], right[chosen]

    def broken(which: Tensor, radius: Tensor, box: tuple[float, float] | None) -> Tensor:
        """Which of the chosen images an attack on some of them turns, as a mask."""
        random, result = generator(0, "attack", 0), torch.zeros(len(t), dtype=torch.bool)
        for part in which.nonzero()[:, 0].split(100):
            y = attack(
                network, x[part], t[part], radius[part],
                steps=steps, restarts=restarts, box=box, random=random,
            )  # fmt: skip
            distance = (y.double() - x[part].double()).flatten(1).norm(dim=1)
            inside = distance <= radius[part] * (1 + 1e-5)  # the ball, up to float32
            correct, _ = certify_images(y, t[part])
            result[part] = ~correct & inside
        return result

    within = broken(R > 0, R * (1 - 1e-5), None)
    entry: dict[str, Any] = {
        "network": network.name,
        "hypotheses_hold": report.hypotheses_hold,
        "constant": certificate.constant,
        "test_images": len(labels),
        "clean": right.double().mean().item(),
        "median_radius": radii[radii > 0].median().item() if bool((radii > 0).any()) else 0.0,
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
        "environment": environment("cpu"),
    }
    for r in RADII:
        turned = broken(right_chosen & (r >= R), torch.full_like(R, r), (0.0, 1.0))
        entry["attack"]["accuracy"].append((right_chosen & ~turned).double().mean().item())
    write_json(run.folder / "certificate.json", entry)
    return entry
