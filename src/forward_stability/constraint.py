r"""Networks for which the hypotheses of Theorems 5 and 6 hold, at every step of their training.

Every filter and matrix is parametrized by a norm ball, whose bound is never below the exact norm
(:func:`~forward_stability.spectral.norm_ball`):

.. math:: \|A^0\| \le 1, \quad \|A^n\| \le \sqrt 2, \quad \|A^{m+1}\|, \|A^{2m+1}\| \le c,
          \quad \|W\| \le 1.

There is no batch normalisation (chapter 11 says why). Chapter 15.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from forward_stability.errors import InputError
from forward_stability.folding import input_sizes
from forward_stability.graph import chain, entry_sizes, fold, trace
from forward_stability.layer import Layer, Size
from forward_stability.layers import Halving, PeriodicConv2d
from forward_stability.models import Network
from forward_stability.spectral import norm_ball, trained_weight

INITIALISATIONS = ("paper", "identity", "isometry")
"""Of the residual layers of a constrained network, see :func:`initialise_`."""


def constrain(module: nn.Module, size: Size, c: float) -> nn.Module:
    r"""Parametrize every filter of a network by its norm ball, for images of one size.

    The layers of this package get the radii of Theorem 6, of which those of the two filters of a
    ResNet-D layer are √2 each; Theorem 5 has no limit for them. Every ``Conv2d`` and ``Linear`` of
    another module gets the radius 1, so that a chain of them, with poolings that do not overlap
    and ReLU between, multiplies no distance by more than 1; each sum adds its two branches.

    Args:
        module: a network of this package, or another one that :func:`~forward_stability.graph.fold`
            takes; without batch normalisation. It is changed in place.
        size: the height and width of the images.
        c: the radius for the filters of the pooling layers of this package.

    Returns:
        the module.

    Raises:
        InputError: if there is no constraint for one of its layers; nothing is changed then.

    Source: Eqs. 20, 23 and 24. Chapter 15.
    """
    if not c > 0:
        raise InputError(f"c must be a positive radius, got {c}")
    layers = _named(_layers(module, size)) if isinstance(module, Network) else _parts(module, size)
    _check(layers)
    for _, layer, entry in layers:
        if isinstance(layer, Layer):
            layer.constrain_(entry, c)
        elif isinstance(layer, nn.Conv2d | nn.Linear | PeriodicConv2d):
            norm_ball(layer, 1.0, entry)
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            trained_weight(part).data.copy_(part.weight)  # type: ignore[arg-type]
    return module


def _layers(network: Network, size: Size) -> list[tuple[Layer, Size]]:
    """The layers, each with the height and width of its input."""
    return list(zip(network.layers, input_sizes(fold(network), size), strict=True))  # type: ignore


def _named(layers: Sequence[tuple[Layer, Size]]) -> list[tuple[str, nn.Module, Size]]:
    return [
        (f"layer {n}, a {type(layer).__name__}", layer, entry)
        for n, (layer, entry) in enumerate(layers)
    ]


def _parts(module: nn.Module, size: Size) -> list[tuple[str, nn.Module, Size]]:
    """The layers of any module by name, each once for every size of its input."""
    steps = trace(module)
    chain(steps)  # refuses what has no bound
    found = {
        (step.module, entry): step.name
        for step, entry in zip(steps, entry_sizes(steps, size), strict=True)
        if step.module is not None
    }
    return [(name, layer, entry) for (layer, entry), name in found.items()]


def _check(layers: Sequence[tuple[str, nn.Module, Size]]) -> None:
    """Refuse layers that have no constraint."""
    for name, layer, _ in layers:
        if isinstance(layer, Layer) and type(layer).constrain_ is Layer.constrain_:
            raise InputError(f"{name}, cannot be constrained")
    for name, layer, _ in layers:
        if any(isinstance(part, nn.BatchNorm2d) for part in layer.modules()):
            raise InputError(
                f"batch normalisation under a constraint: {name}, has one, which would scale the "
                "filter out of its norm ball; build the network without (batch_norm=False)"
            )


def sensitivity(network: Network, size: Size, c: float) -> float:
    r"""The constant a of Theorem 6, with the exact norms of the poolings, for any filters allowed.

    :math:`(1/2 + c)^2`, or 1 with unshuffling in place of the pooling layers, times 1/√(hw) for a
    global pooling of h x w pixels, times 1/2 for halved images. For ResNet-D this leaves out its
    residual layers.

    Args:
        network, size, c: as for :func:`constrain`.

    Raises:
        InputError: as :func:`constrain`, for the same networks.

    Source: Eq. 57, sharpened. Chapters 10 and 15.
    """
    layers = _layers(network, size)
    _check(_named(layers))
    return prod(layer.constrained_norm(entry, c) for layer, entry in layers)


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


def lift(network: Network, height: float) -> None:
    r"""Move the features between the first convolution and the classifier up by ℓ, in place.

    By their biases, which are parametrized, so that the scores stay as they were as long as no
    feature falls below −ℓ: the outer ReLU acts at −ℓ in place of 0. For images, which are bounded,
    a large ℓ makes a ResNet-S of layers without outer ReLU; and the layers are still the paper's.

    Args:
        network: without batch normalisation, constrained or not.
        height: ℓ ≥ 0.

    Raises:
        InputError: if a layer cannot be lifted; nothing is changed then.

    Source: our own. Chapter 15.
    """
    layers: list[Layer] = [part for part in network.layers if not isinstance(part, Halving)]  # type: ignore
    last = len(layers) - 1
    for layer in layers:
        if type(layer).lift_ is Layer.lift_:
            raise InputError(f"a layer of type {type(layer).__name__} cannot be lifted")
        if any(isinstance(part, nn.BatchNorm2d) for part in layer.modules()):
            raise InputError("batch normalisation has no bias to lift: build the network without")
    for n, layer in enumerate(layers):
        layer.lift_(height if n > 0 else 0.0, height if n < last else 0.0)


def plain_weights(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network in which every parametrization is replaced by what it stands for."""
    state = network.state_dict()
    for name, module in network.named_modules():
        for what in getattr(module, "parametrizations", ()):
            del state[f"{name}.parametrizations.{what}.original"]
            state[f"{name}.{what}"] = getattr(module, what).detach()
    return state
