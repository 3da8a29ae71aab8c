r"""Networks for which the theorems can be put to the test: tight ones, and random ones.

A tight network attains the sharpened constant of Theorem 5 or 6, so that no smaller function of
the norms is a bound. A random one lies on the boundary of the hypotheses. Both are lists of folded
layers. Chapters 9 and 10.
"""

from math import sqrt

import torch
from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.folded_residual import FoldedResidual, FoldedSymmetric
from forward_stability.folding import FoldedConv, FoldedGlobalPooling, FoldedLinear, FoldedPooling
from forward_stability.layer import Folded, Size
from forward_stability.spectral import conv_norm_bound

LEVEL = 8.0
"""The value of the constant image at which a tight network attains its constant."""


def delta(out: int, into: int, i: int, j: int, value: float) -> Tensor:
    """The filter that puts ``value`` times channel j into channel i: ``(out, into, 3, 3)``."""
    K = torch.zeros(out, into, 3, 3, dtype=torch.float64)
    K[i, j, 1, 1] = value
    return K


def unit(d: int, i: int, value: float) -> Tensor:
    """The bias that is ``value`` in channel i and 0 elsewhere, shape ``(d,)``."""
    b = torch.zeros(d, dtype=torch.float64)
    b[i] = value
    return b


def tight_network(variant: str, pools: tuple[float, float]) -> list[Folded]:
    """A network whose Jacobian at the constant image :data:`LEVEL` attains the sharpened constant.

    One channel goes straight through. The filter of a pooling layer pulls the same way as the
    pooling, A = −2 a E P2, and its bias keeps both units on; both factors of 1 + ‖A1‖‖A2‖ = 1.3
    of a ResNet-D layer do so too; a ResNet-S layer acts on another channel. m = 1.

    Args:
        variant: "D" or "S".
        pools: the norms a of the filters of the two pooling layers.

    Returns:
        layers for images of one channel, of any size whose sides are divisible by 4.

    Raises:
        InputError: for another variant.

    Source: our own. Chapters 9 and 10.
    """
    _check(variant)
    d, i, level = 2, 1, LEVEL
    layers: list[Folded] = [FoldedConv(delta(d, 1, i, 0, 1), unit(d, 0, 0))]
    for stage in range(3):
        if stage:
            a, j = pools[stage - 1], d // 2 + i
            K = torch.zeros(2 * d, d, 3, 3, dtype=torch.float64)
            K[j, i, 1:, 1:] = -a / 2
            # The inner unit is at −2a·level + b > 0 and the outer one at (1 + 2a)·level − b > 0.
            b = (0.5 + 2 * a) * level
            layers.append(FoldedPooling(K, unit(2 * d, j, b)))
            d, i, level = 2 * d, j, (1 + 2 * a) * level - b
        if variant == "D":
            b1 = unit(d, i, level)
            K1, K2 = delta(d, d, i, i, -0.5), delta(d, d, i, i, 0.6)
            layers.append(FoldedResidual(K1, b1, K2, 0.6 * b1))
            level *= 1.3
        else:
            zero, one = torch.zeros(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64)
            K = delta(d, d, i, i - 1, sqrt(2))
            layers.append(FoldedSymmetric(K, zero, zero, one, one))
    W = torch.zeros(10, d, dtype=torch.float64)
    W[3, i] = 1
    return [*layers, FoldedGlobalPooling(), FoldedLinear(W, unit(10, 0, 0))]


def random_network(
    variant: str, blocks: int, size: Size, width: int = 2, bias: float = 1.0, channels: int = 1
) -> list[Folded]:
    """A random network on the boundary of the hypotheses: norms 1, √2, 1, or A2 ≥ 0.

    Args:
        variant: "D" or "S".
        blocks: m.
        size: the height and width of the images.
        width: d1.
        bias: scale of the biases.
        channels: of the images.

    Raises:
        InputError: for another variant.

    Source: the hypotheses of Theorems 5 and 6. Chapters 9 and 10.
    """
    _check(variant)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64)

    def of_norm(K: Tensor, norm: float, stride: int = 1) -> Tensor:
        return K * norm / conv_norm_bound(K, size, stride)[0]

    d = width
    layers: list[Folded] = [FoldedConv(of_norm(randn(d, channels, 3, 3), 1), bias * randn(d))]
    for stage in range(3):
        if stage:
            K = of_norm(randn(2 * d, d, 3, 3), 1.5 * float(torch.rand(())), 2)
            layers.append(FoldedPooling(K, bias * (randn(2 * d) - 1)))
            size, d = layers[-1].output_size(size), 2 * d
        for _ in range(blocks if stage == 0 else blocks - 1):
            b1, b2, one = bias * randn(d), bias * randn(d).abs(), torch.ones(d, dtype=torch.float64)
            if variant == "S":
                K = of_norm(randn(d, d, 3, 3), sqrt(2))
                layers.append(FoldedSymmetric(K, b1, b2, one, one))
            else:
                K1, K2 = randn(d, d, 3, 3) / 3, randn(d, d, 3, 3).abs() / 30
                layers.append(FoldedResidual(K1, b1, K2, b2))
    W = randn(3, d)
    W /= torch.linalg.matrix_norm(W, 2)
    return [*layers, FoldedGlobalPooling(), FoldedLinear(W, bias * randn(3))]


def _check(variant: str) -> None:
    if variant not in ("D", "S"):
        raise InputError(f"the theorems are about variants D and S, not {variant!r}")
