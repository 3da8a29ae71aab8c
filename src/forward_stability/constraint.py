r"""Networks for which the hypotheses of Theorems 5 and 6 hold, at every step of their training.

Every filter and matrix is parametrized by a norm ball, whose bound is never below the exact norm
(:func:`~forward_stability.spectral.norm_ball`):

.. math:: \|A^0\| \le 1, \quad \|A^n\| \le \sqrt 2, \quad \|A^{m+1}\|, \|A^{2m+1}\| \le c,
          \quad \|W\| \le 1.

There is no batch normalisation (chapter 11 says why). Chapter 15.
"""

from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from forward_stability.models import (
    Classifier,
    Convolution,
    GlobalPooling,
    Halving,
    Network,
    PeriodicConv2d,
    Pooling,
    ResidualD,
    ResidualS,
)
from forward_stability.operators import pool2_norm
from forward_stability.spectral import conv_norm_bound, norm_ball, trained_weight

INITIALISATIONS = ("paper", "identity", "isometry")
"""Of the residual layers of a constrained network, see :func:`initialise_`."""


def constrain(network: Network, size: tuple[int, int], c: float) -> Network:
    r"""Parametrize every filter of a network by its norm ball, for images of one size.

    The two filters of a ResNet-D layer get the radius √2 each; Theorem 5 has no limit for them.

    Args:
        network: without batch normalisation; it is changed in place.
        size: the height and width of the images.
        c: the radius for the filters of the pooling layers.

    Returns:
        the network.

    Source: Eqs. 20, 23 and 24. Chapter 15.
    """
    for layer, entry in zip(network.layers, sizes(network, size), strict=True):
        match layer:
            case Convolution():
                norm_ball(layer.conv, 1.0, entry)
            case ResidualS():
                norm_ball(layer.conv, sqrt(2), entry)
            case ResidualD():
                norm_ball(layer.conv1, sqrt(2), entry)
                norm_ball(layer.conv2, sqrt(2), entry)
            case Pooling():
                norm_ball(layer.conv, c, entry, stride=2)
            case Classifier():
                norm_ball(layer, 1.0)
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            trained_weight(module).data.copy_(module.weight)  # type: ignore[arg-type]
    return network


def sizes(network: Network, size: tuple[int, int]) -> list[tuple[int, int]]:
    """The height and width of the input of each layer."""
    result = []
    for layer in network.layers:
        result.append(size)
        if isinstance(layer, Pooling | Halving):
            size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    return result


def sensitivity(network: Network, size: tuple[int, int], c: float) -> float:
    r"""The constant a of Theorem 6, with the exact norms of the poolings, for any filters allowed.

    :math:`(1/2 + c)^2`, times 1/√(hw) for a global pooling of h x w pixels, times 1/2 for halved
    images. For ResNet-D this leaves out its residual layers.

    Args:
        network, size, c: as for :func:`constrain`.

    Source: Eq. 57, sharpened. Chapters 10 and 15.
    """
    a = 1.0
    for layer, entry in zip(network.layers, sizes(network, size), strict=True):
        if isinstance(layer, Pooling):
            a *= pool2_norm(entry) + c
        elif isinstance(layer, Halving):
            a *= pool2_norm(entry)
        elif isinstance(layer, GlobalPooling):
            a /= sqrt(prod(entry))
    return a


@torch.no_grad()
def initialise_(network: Network, size: tuple[int, int], kind: str) -> None:
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
    for layer, entry in zip(network.layers, sizes(network, size), strict=True):
        if not isinstance(layer, ResidualS | ResidualD) or kind == "paper":
            continue
        for conv in layer.modules():
            if isinstance(conv, PeriodicConv2d):
                K = conv.weight
                if kind == "identity":
                    K *= sqrt(2) / 10 / conv_norm_bound(K, entry)[0]
                elif isinstance(layer, ResidualS):
                    Q, middle = (
                        nn.init.orthogonal_(torch.empty_like(K[..., 0, 0])),
                        K.shape[-1] // 2,
                    )
                    K.zero_()[..., middle, middle] = sqrt(2) * Q


def plain_weights(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network in which every norm ball is replaced by the filter it stands for."""
    state = network.state_dict()
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            del state[f"{name}.parametrizations.weight.original"]
            state[f"{name}.weight"] = module.weight.detach()  # type: ignore[union-attr]
    return state
