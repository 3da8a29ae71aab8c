r"""A certificate that a network carries in its file, for the answers that a page computes.

With m the difference of the scores of the answer t and of a class j as the page computes them,
:math:`A_{tj}(\rho) = A^0_{tj} + A^1_{tj} \rho` what rounding may change in it and
:math:`D_{tj}(\rho)` what the 16 bits of the weights may (:mod:`~forward_stability.book.deviation`),
and L a Lipschitz constant of the features of both networks,

.. math:: R = \min_{j \ne t} \frac{m_j - 2 A_{tj}(\rho) - D_{tj}(\rho)}
              {L \|w_t - w_j\| + A^1_{tj}}, \qquad \rho = \|x^0\| .

Within R the page gives no other answer, and the network that was trained, in exact arithmetic,
gives none: a difference of scores moves by at most :math:`L \|w_t - w_j\|\,r`; what the page
computes is off by at most :math:`A(\rho)` at the image and by :math:`A(\rho + r)` at the other.
``live/certificate.js`` computes the same. Chapter 15.
"""

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from forward_stability.book.deviation import Deviation, rounding, rounding_of_weights, split
from forward_stability.book.export import Export, export_run
from forward_stability.certificates import certify_layers
from forward_stability.experiments.runs import Run
from forward_stability.graph import fold
from forward_stability.layer import Size
from forward_stability.models import Network
from forward_stability.radius import row_distances
from forward_stability.rounding import gamma


@dataclass(frozen=True)
class Certificate:
    """What a radius needs besides the scores.

    Attributes:
        constant: L, for the layers in front of the classifier.
        distances: ‖w_i − w_j‖, rounded upwards, the larger one of the two networks.
        rounding: of the page's arithmetic.
        weights: of the weights to 16 bits.
    """

    constant: float
    distances: Tensor
    rounding: Deviation
    weights: Deviation

    def to_dict(self) -> dict[str, Any]:
        """For the header of a file."""
        return asdict(self) | {"distances": self.distances.tolist()}

    def radii(self, scores: Tensor, norms: Tensor) -> Tensor:
        """R of answers, 0 where nothing is certified.

        Args:
            scores: as the page computes them, shape ``(batch, classes)``.
            norms: ρ, of the images less their mean, rounded upwards, shape ``(batch,)``.
        """
        rho, answers = norms[:, None], scores.argmax(1)
        w = self.distances[answers]

        def off(d: Deviation) -> Tensor:
            features, own = (bound.offset + bound.slope * rho for bound in (d.features, d.scores))
            return w * features + 2 * own

        slack = (2 * off(self.rounding) + off(self.weights)) * (1 + gamma(16))
        slope = w * self.rounding.features.slope + 2 * self.rounding.scores.slope
        margins = scores.gather(1, answers[:, None]) - scores
        left = margins * (1 - gamma(2)) - slack
        radii = left / (w * self.constant + slope) * (1 - gamma(16))
        return radii.scatter(1, answers[:, None], torch.inf).amin(1).clamp_min(0)


def certify_export(network: Network, exported: Export, size: Size) -> Certificate:
    """The certificate of what a file holds of a network.

    Raises:
        InputError: if a layer has no bound, or the last one is no classifier.
    """
    layers, channels = fold(network), network.channels
    (trained, old), (stored, new) = split(layers), split(exported.layers)
    constants = [certify_layers(x, size, channels=channels)["best"].a for x in (trained, stored)]
    return Certificate(
        constant=max(constants),
        distances=torch.maximum(row_distances(old.W), row_distances(new.W)),
        rounding=rounding(exported.layers, size),
        weights=rounding_of_weights(layers, exported.layers, size),
    )


def certify_run(run: Run) -> Certificate:
    """The certificate of the exported network of a run; see :func:`certify_export`."""
    return _certify(run.folder.resolve(), (run.folder / "weights.safetensors").stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _certify(folder: Path, _changed: int) -> Certificate:
    """The certificate of a run, once for each state of its weights."""
    run = Run(folder)
    exported, (height, width) = export_run(run), run.info["data"]["image_shape"][1:]
    return certify_export(run.network(), exported, (height, width))


def certified_export(run: Run) -> Export:
    """The network of a run with its certificate in the header, under ``certificate``.

    Raises:
        InputError: as :func:`certify_export` and :func:`~forward_stability.book.export.export_run`.
    """
    exported = export_run(run)
    return replace(exported, header=exported.header | {"certificate": certify_run(run).to_dict()})
