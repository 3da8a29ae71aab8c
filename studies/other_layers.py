"""Layers that ``alternatives.py`` puts in place of the residual layers."""

from dataclasses import fields, replace
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from forward_stability.experiments.config import Config
from forward_stability.folded_residual import FoldedSymmetric
from forward_stability.folding import FoldedConv
from forward_stability.layer import Layer, Size
from forward_stability.layers import Bias, MaxMin, PeriodicConv2d, ResidualS
from forward_stability.operators import periodic_pad
from forward_stability.prox import relu
from forward_stability.spectral import gram_bound, norm_ball, symbol


class Orthogonal(Layer):
    r"""x ↦ A x + b with an orthogonal A on features of one size, whatever the filter K is.

    The Fourier transform takes a periodic convolution apart into its symbols. That of A is unitary
    at each frequency, the Cayley transform of a skew-Hermitian matrix:

    .. math:: \hat A = (I + S)^{-1}(I - S), \qquad S = \hat K - \hat K^{*}.

    The filter of A has as many taps as the features have pixels.

    Args:
        width: channels.
        side: the height and the width of the features, even.

    Source: Trockman & Kolter (2021), "Orthogonalizing convolutional layers with the Cayley
    transform".
    """

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side, self.conv, self.bn = side, PeriodicConv2d(width, width), Bias(width)

    def symbols(self, K: Tensor) -> Tensor:
        """Of A at half of the frequencies, shape (side, side / 2 + 1, width, width)."""
        K_hat = symbol(K, (self.side, self.side))
        S, identity = K_hat - K_hat.mH, torch.eye(K.shape[0], dtype=K_hat.dtype)
        return torch.linalg.solve(identity + S, identity - S).unflatten(0, (self.side, -1))

    def forward(self, x: Tensor) -> Tensor:
        A_hat, x_hat = self.symbols(self.conv.weight), torch.fft.rfft2(x).permute(2, 3, 1, 0)
        y = torch.fft.irfft2((A_hat @ x_hat).permute(3, 2, 0, 1), s=x.shape[-2:])
        return self.bn(y)

    def fold(self) -> FoldedConv:
        """One row and one column of taps more than there are pixels, and zero, to have a middle."""
        A_hat = self.symbols(self.conv.weight.detach().double())
        taps = torch.fft.irfft2(A_hat.permute(2, 3, 0, 1), s=(self.side, self.side))
        turned = (self.side // 2 - torch.arange(self.side)) % self.side
        K = F.pad(taps[..., turned, :][..., turned], (0, 1, 0, 1))
        return FoldedConv(K, self.bn.bias.detach().double())

    def initialise_(self, size: Size, kind: str) -> None:
        """One tap, so that A is an orthogonal matrix at each pixel."""
        K = self.conv.weight
        tap = torch.randn_like(K[..., 1, 1])
        K.zero_()[..., 1, 1] = tap

    def constrain_(self, size: Size, c: float) -> None:
        """It is orthogonal anyway."""


class DepthWise(ResidualS):
    """The ResNet-S layer with one 3x3 filter for each channel, shape (width, 1, 3, 3)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, batch_norm=False)
        self.conv.weight = nn.Parameter(torch.zeros(width, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        K = self.conv.weight
        y = relu(self.bn1(F.conv2d(periodic_pad(x, 1), K, groups=len(K))))
        back = F.conv2d(periodic_pad(y, 1), K.flip(-1, -2), groups=len(K))
        return relu(x - self.bn2(back))

    def fold(self) -> FoldedSymmetric:
        folded = super().fold()
        dense = torch.diag_embed(folded.K[:, 0].permute(1, 2, 0)).permute(2, 3, 0, 1)
        return replace(folded, K=dense)

    def initialise_(self, size: Size, kind: str) -> None:
        """Random taps of which the largest is in the middle: isometry is for matrices."""
        K = self.conv.weight
        K.normal_(std=0.2)[..., 1, 1] += 0.3 * torch.randn_like(K[..., 1, 1])

    def constrain_(self, size: Size, c: float) -> None:
        """‖A‖ ≤ √2: each channel for itself."""
        parametrize.register_parametrization(self.conv, "weight", ChannelBalls(size))


class ChannelBalls(nn.Module):
    """K ↦ the filter of each channel, scaled to a norm of at most √2."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size

    def forward(self, K: Tensor) -> Tensor:
        norms = gram_bound(K[:, None], self.size) * (1 + 4 * torch.finfo(K.dtype).eps)
        factors = sqrt(2) / norms.clamp_min(1)  # as in NormBall: K = 0 has a gradient, too
        return K * factors.clamp_max(1)[:, None, None, None]

    def right_inverse(self, K: Tensor) -> Tensor:
        return K


class PointWise(ResidualS):
    """The ResNet-S layer with a matrix at each pixel, a filter of 1x1."""

    def __init__(self, width: int) -> None:
        super().__init__(width, batch_norm=False)
        self.conv = PeriodicConv2d(width, width, 1)

    def constrain_(self, size: Size, c: float) -> None:
        norm_ball(self.conv, sqrt(2), (1, 1))


def sorted_orthogonal(width: int, first: int, side: int) -> list[nn.Module]:
    """An orthogonal convolution, and MaxMin.

    Args:
        width: channels.
        first, side: the channels of the first stage, and the height and the width of its features.
    """
    return [Orthogonal(width, side * first // width), MaxMin(width)]


def separable(width: int) -> list[nn.Module]:
    """A depth-wise layer and one of 1x1."""
    return [DepthWise(width), PointWise(width)]


def with_layers(config: Config, residual: Any) -> Config:
    """The configuration of a network with other layers in place of its residual layers."""

    class Other(Config):
        def architecture(self, image_shape: Any, classes: int) -> dict[str, Any]:
            return super().architecture(image_shape, classes) | {"residual": residual}

    return Other(**{f.name: getattr(config, f.name) for f in fields(config)})
