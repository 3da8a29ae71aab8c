r"""A trained network as a plain list of the layers of the paper: filters and biases, nothing else.

In evaluation mode a batch normalisation is an affine map (Remark 2), so that it can be folded into
the convolution before it. What is left are the layers of Eqs. 14-19 in float64, whose norms
Theorems 5 and 6 speak about. Chapter 11.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from forward_stability.errors import InputError
from forward_stability.models import (
    Bias,
    Classifier,
    Convolution,
    Flattening,
    GlobalPooling,
    Halving,
    Network,
    Pooling,
    Residual,
    ResidualD,
    ResidualS,
)
from forward_stability.operators import (
    adjoint_filter,
    batch_norm_affine,
    conv,
    global_pool,
    pad_channels,
    pool2,
)
from forward_stability.prox import relu


def _image(b: Tensor) -> Tensor:
    """A bias of one number a channel, shaped to be added to features."""
    return b[:, None, None]


def _scaled(K: Tensor, scale: Tensor) -> Tensor:
    """The filter followed by a multiplication of its output channels."""
    return K.detach().double() * scale[:, None, None, None]


@dataclass(frozen=True)
class FoldedConv:
    """x ↦ A x + b. K has shape (out, in, n, n), b (out,). Source: Eq. 16."""

    K: Tensor
    b: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return conv(x, self.K) + _image(self.b)


@dataclass(frozen=True)
class FoldedResidual:
    """x ↦ σ(S x − A2 σ(A1 x + b1) + b2), with S x = x or, strided, every s-th pixel, padded.

    K1, K2 have shape (d, d, n, n), b1, b2 shape (d,). ResNet-D has K2 ≥ 0; the original layer's
    K2 has the opposite sign here. Source: Eq. 14, Fig. 2.
    """

    K1: Tensor
    b1: Tensor
    K2: Tensor
    b2: Tensor
    stride: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        y = relu(conv(x, self.K1, self.stride) + _image(self.b1))
        s = self.stride
        shortcut = x if s == 1 else pad_channels(x[..., ::s, ::s], len(self.b2))
        return relu(shortcut - conv(y, self.K2) + _image(self.b2))


@dataclass(frozen=True)
class FoldedSymmetric:
    """x ↦ σ(x − D2 Aᵀ σ(D1 A x + b1) + b2), a ResNet-S layer with its batch normalisations.

    K has shape (d, d, n, n); b1, b2 and the diagonals d1, d2 > 0 have one number a channel,
    shape (d,). D1 = D2 = I is Eq. 15; without the outer ReLU it is the convex potential layer.
    Source: Eq. 15 and Remark 2.
    """

    K: Tensor
    b1: Tensor
    b2: Tensor
    d1: Tensor
    d2: Tensor
    outer_relu: bool = True

    @cached_property
    def K1(self) -> Tensor:
        """The filter of D1 A."""
        return _scaled(self.K, self.d1)

    @cached_property
    def K2(self) -> Tensor:
        """The filter of D2 Aᵀ."""
        return _scaled(adjoint_filter(self.K), self.d2)

    def __call__(self, x: Tensor) -> Tensor:
        y = relu(conv(x, self.K1) + _image(self.b1))
        z = x - conv(y, self.K2) + _image(self.b2)
        return relu(z) if self.outer_relu else z


@dataclass(frozen=True)
class FoldedPooling:
    """x ↦ σ(E P2 x − σ(A|s=2 x + b)). K has shape (2d, d, n, n), b (2d,). Source: Eq. 18."""

    K: Tensor
    b: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        y = relu(conv(x, self.K, 2) + _image(self.b))
        return relu(pad_channels(pool2(x), len(self.b)) - y)


@dataclass(frozen=True)
class FoldedGlobalPooling:
    """x ↦ Pg σ(x). Source: Eq. 19."""

    def __call__(self, x: Tensor) -> Tensor:
        return global_pool(relu(x))


@dataclass(frozen=True)
class FoldedHalving:
    """x ↦ P2 x. Source: Eq. 33."""

    def __call__(self, x: Tensor) -> Tensor:
        return pool2(x)


@dataclass(frozen=True)
class FoldedFlattening:
    """All features side by side. Source: chapter 15."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1)


@dataclass(frozen=True)
class FoldedLinear:
    """x ↦ W x + b. W has shape (C, d), b (C,). Source: Eq. 17."""

    W: Tensor
    b: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.W.T + self.b


Folded = (
    FoldedHalving
    | FoldedConv
    | FoldedResidual
    | FoldedSymmetric
    | FoldedPooling
    | FoldedGlobalPooling
    | FoldedFlattening
    | FoldedLinear
)


def fold(network: Network) -> list[Folded]:
    """The layers 0 to N − 1 of a network in evaluation mode, batch normalisation folded in.

    Args:
        network: on any device, in any mode; it is not changed.

    Returns:
        float64 layers; ``forward(fold(network), network.centred(images))`` are the scores.

    Raises:
        InputError: if a batch normalisation keeps no running statistics.

    Source: Remark 2, Eq. 27. Chapter 11.
    """
    return [_fold(layer) for layer in network.layers]


def _affine(layer: nn.BatchNorm2d | Bias) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch normalisation or of the bias in its place."""
    if isinstance(layer, Bias):
        shift = layer.bias.detach().double()
        return torch.ones_like(shift), shift
    return batch_norm_affine(layer)


def _fold(layer: nn.Module) -> Folded:
    match layer:
        case Convolution() | Pooling():
            scale, shift = _affine(layer.bn)
            kind = FoldedConv if isinstance(layer, Convolution) else FoldedPooling
            return kind(_scaled(layer.conv.weight, scale), shift)
        case ResidualS():
            (d1, b1), (d2, shift) = _affine(layer.bn1), _affine(layer.bn2)
            K = layer.conv.weight.detach().double()
            return FoldedSymmetric(K, b1, -shift, d1, d2, layer.outer_relu)
        case ResidualD() | Residual():
            sign = 1 if isinstance(layer, ResidualD) else -1
            (s1, b1), (s2, shift) = _affine(layer.bn1), _affine(layer.bn2)
            K1, K2 = _scaled(layer.conv1.weight, s1), _scaled(layer.conv2.weight, sign * s2)
            stride = layer.stride if isinstance(layer, Residual) else 1
            return FoldedResidual(K1, b1, K2, -sign * shift, stride)
        case GlobalPooling():
            return FoldedGlobalPooling()
        case Halving():
            return FoldedHalving()
        case Flattening():
            return FoldedFlattening()
        case Classifier():
            return FoldedLinear(layer.weight.detach().double(), layer.bias.detach().double())
    raise InputError(f"cannot fold a layer of type {type(layer).__name__}")


def features(layers: Sequence[Folded], x: Tensor) -> list[Tensor]:
    """The inputs of all layers and the output, x^0, x^1, …, x^N.

    Args:
        layers: as :func:`fold` returns them.
        x: x^0, float64, shape ``(batch, channels, height, width)``.
    """
    result = [x]
    for layer in layers:
        result.append(layer(result[-1]))
    return result


def forward(layers: Sequence[Folded], x: Tensor) -> Tensor:
    """The output x^N, shape ``(batch, classes)``; see :func:`features`."""
    return features(layers, x)[-1]
