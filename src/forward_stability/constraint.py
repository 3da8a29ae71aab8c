r"""Networks for which the hypotheses of Theorems 5 and 6 hold, at every step of their training.

Every filter and matrix is parametrized by a norm ball, whose bound is never below the exact norm
(:func:`~forward_stability.spectral.norm_ball`):

.. math:: \|A^0\| \le 1, \quad \|A^n\| \le \sqrt 2, \quad \|A^{m+1}\|, \|A^{2m+1}\| \le c,
          \quad \|W\| \le 1.

There is no batch normalisation (chapter 11 says why). Chapter 15.
"""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from forward_stability.errors import InputError
from forward_stability.folding import fold, input_sizes
from forward_stability.layer import Layer, Size
from forward_stability.models import Network
from forward_stability.spectral import trained_weight

INITIALISATIONS = ("paper", "identity", "isometry")
"""Of the residual layers of a constrained network, see :func:`initialise_`."""


def constrain(network: Network, size: Size, c: float) -> Network:
    r"""Parametrize every filter of a network by its norm ball, for images of one size.

    The two filters of a ResNet-D layer get the radius √2 each; Theorem 5 has no limit for them.

    Args:
        network: without batch normalisation; it is changed in place.
        size: the height and width of the images.
        c: the radius for the filters of the pooling layers.

    Returns:
        the network.

    Raises:
        InputError: if there is no constraint for one of its layers; nothing is changed then.

    Source: Eqs. 20, 23 and 24. Chapter 15.
    """
    layers = _layers(network, size)
    for index, (layer, _) in enumerate(layers):
        if type(layer).constrain_ is Layer.constrain_:
            raise InputError(f"layer {index}, a {type(layer).__name__}, cannot be constrained")
    for layer, entry in layers:
        layer.constrain_(entry, c)
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            trained_weight(module).data.copy_(module.weight)  # type: ignore[arg-type]
    return network


def _layers(network: Network, size: Size) -> list[tuple[Layer, Size]]:
    """The layers, each with the height and width of its input."""
    return list(zip(network.layers, input_sizes(fold(network), size), strict=True))  # type: ignore


def sensitivity(network: Network, size: Size, c: float) -> float:
    r"""The constant a of Theorem 6, with the exact norms of the poolings, for any filters allowed.

    :math:`(1/2 + c)^2`, times 1/√(hw) for a global pooling of h x w pixels, times 1/2 for halved
    images. For ResNet-D this leaves out its residual layers.

    Args:
        network, size, c: as for :func:`constrain`.

    Source: Eq. 57, sharpened. Chapters 10 and 15.
    """
    return prod(layer.constrained_norm(entry, c) for layer, entry in _layers(network, size))


@torch.no_grad()
def initialise_(network: Network, size: Size, kind: str) -> None:
    r"""Set the initial filters of a network that is to be constrained, in place.

    The convolution, the pooling layers and the classifier start as in Sect. 4; the rest depends on
    the kind:

    - "paper": the distributions of Sect. 4; most filters are outside their ball, so that training
      starts on its boundary.
    - "identity": the same, with norm √2/10 in the residual layers, which are close to x ↦ x.
    - "isometry": one tap √2 Q with a random orthogonal Q in the residual layers of ResNet-S,
      x ↦ σ(x − 2 Qᵀσ(Q x)): before the outer ReLU, it preserves every norm.

    Source: chapter 15.
    """
    for layer, entry in _layers(network, size):
        layer.initialise_(entry, kind)


def plain_weights(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network in which every norm ball is replaced by the filter it stands for."""
    state = network.state_dict()
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            del state[f"{name}.parametrizations.weight.original"]
            state[f"{name}.weight"] = module.weight.detach()  # type: ignore[union-attr]
    return state
