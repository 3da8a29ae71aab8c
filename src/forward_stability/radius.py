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

import torch
from torch import Tensor

from forward_stability.certificates import certify_layers
from forward_stability.folding import FoldedLinear, features, fold
from forward_stability.layer import Folded
from forward_stability.models import Network
from forward_stability.report import ROUNDING


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
