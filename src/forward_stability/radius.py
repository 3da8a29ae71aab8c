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

import torch
from torch import Tensor, nn

from forward_stability.certificates import certify_layers
from forward_stability.errors import InputError
from forward_stability.folding import FoldedLinear, input_channels, with_error
from forward_stability.graph import fold
from forward_stability.layer import Folded, Size
from forward_stability.models import Network
from forward_stability.rounding import U, gamma, power_of_two


@dataclass(frozen=True)
class Certifier:
    """What a certificate needs of a network, computed once.

    Attributes:
        layers: the folded layers in front of the classifier, in float64.
        constants: a proven Lipschitz constant of each.
        classifier: the last layer.
        mean: of the training images, which is subtracted from an image.
        distances: ‖w_i − w_j‖ for each pair of classes, rounded upwards, ``(classes, classes)``.
        constant: L, the smallest proven constant of all layers but the classifier.
    """

    layers: Sequence[Folded]
    constants: Sequence[float]
    classifier: FoldedLinear
    mean: Tensor
    distances: Tensor
    constant: float

    @torch.no_grad()
    def radii(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        r"""The scores and the certified radii R of a batch.

        A difference of scores is first reduced by what rounding may have added to it: the error of
        the features in front of the classifier, times the distance of its rows, and those of the
        two scores themselves.

        Args:
            images: in [0, 1], shape ``(batch, channels, height, width)``; computed in float64, on
                the CPU.
            labels: t, shape ``(batch,)``.

        Returns:
            float64, shapes ``(batch, classes)`` and ``(batch,)``; R = 0 where the answer is wrong
            or not proven, infinite where it does not depend on the image.

        Raises:
            InputError: if a pixel is not finite.
        """
        if not bool(torch.isfinite(images).all()):
            raise InputError("images must be finite, but have NaN or infinite pixels")
        labels = labels.cpu()
        x, moved = with_error(self.layers, images.cpu().double() - self.mean, self.constants, U)
        scores, own = self.classifier(x), self.classifier.error(x)
        distances = self.distances[labels]
        right, right_own = (z.gather(1, labels[:, None]) for z in (scores, own))
        slack = (distances * moved[:, None] + own + right_own) * (1 + gamma(8))
        margins = (right - scores - slack) * (1 - gamma(4))
        # What is left of a difference of numbers of this size, after it was rounded.
        margins -= gamma(4) * (right.abs() + scores.abs() + slack)
        ratios = margins / (distances * self.constant) * (1 - gamma(8))
        ratios = torch.where(margins > 0, ratios, 0.0)
        ratios.scatter_(1, labels[:, None], torch.inf)
        return scores, ratios.amin(1)


@torch.no_grad()
def certifier(
    module: nn.Module, size: Size, multipliers: bool = False, chained: bool = False
) -> Certifier:
    """The certifier of a network for images of one size.

    Its certificates are about the folded network, whose filters and biases are the numbers that
    :func:`~forward_stability.graph.fold` returns.

    Args:
        module: a network of this package, from whose images its mean is subtracted, or another one
            that :func:`~forward_stability.graph.fold` takes; its last layer is a Linear. Without
            the hypotheses of Theorem 6, or a :func:`~forward_stability.constraint.constrain`, the
            radii are tiny.
        size: the height and width of the images.
        multipliers, chained: as for :func:`~forward_stability.certificates.certify`.

    Raises:
        InputError: if a weight is not finite, something in the module has no bound, or the last
            layer is no classifier.

    Source: Theorem 6, sharpened; the rounding in chapter 15.
    """
    folded = fold(module)
    layers, classifier = folded[:-1], folded[-1] if folded else None
    if not isinstance(classifier, FoldedLinear):
        raise InputError("a certified radius needs a classifier, a Linear, as the last layer")
    channels = input_channels(folded, size)
    report = certify_layers(
        layers, size, channels=channels, multipliers=multipliers, chained=chained
    )
    constants = [layer.best for layer in report.layers]
    mean = module.get_buffer("mean") if isinstance(module, Network) else torch.zeros(1, 1, 1)
    distances = row_distances(classifier.W)
    return Certifier(
        layers, constants, classifier, mean.cpu().double(), distances, report["best"].a
    )


def certified_radii(module: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    r"""The scores and the certified radii of a batch: no perturbation below R changes an answer.

    .. math:: R = \min_{j \ne t} \frac{y_t - y_j}{L\, \|w_t - w_j\|_2}

    For several batches, one :func:`certifier` saves computing its constants again.

    Args:
        module: as for :func:`certifier`; in evaluation mode whatever its mode is.
        images: what the module takes, shape ``(batch, channels, height, width)``; R is in their
            units.
        labels: t, the right classes, shape ``(batch,)``.

    Returns:
        float64, shapes ``(batch, classes)`` and ``(batch,)``; see :meth:`Certifier.radii`.

    Raises:
        InputError: as :func:`certifier`, or if the shapes do not fit.

    Source: chapter 15.
    """
    if images.dim() != 4 or labels.shape != images.shape[:1]:
        raise InputError(
            "images must have the shape (batch, channels, height, width) and labels (batch,), "
            f"got {tuple(images.shape)} and {tuple(labels.shape)}"
        )
    return certifier(module, (images.shape[2], images.shape[3])).radii(images, labels)


def row_distances(W: Tensor) -> Tensor:
    """The distances of the rows of W, rounded upwards, shape ``(rows, rows)``."""
    scale = power_of_two(W)
    distances = torch.cdist(W / scale, W / scale, compute_mode="donot_use_mm_for_euclid_dist")
    return distances * scale * (1 + gamma(W.shape[1] + 8))
