r"""A denoiser of ResNet-S layers, and plug-and-play deblurring with it.

.. math:: D = P \circ E^T \circ N^m \circ \dots \circ N^1 \circ E, \qquad
          N^n(x) = \sigma(x - A^T\sigma(Ax + b_1) + b_2),

with the padding E of the paper, which preserves lengths, and the projection P onto images with
values in [0, 1]. With ‖A‖² ≤ 2θ in every layer, D is averaged. Chapter 16.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from forward_stability.averaged import PROJECTION, composition, gradient_step, relaxation
from forward_stability.errors import InputError
from forward_stability.layer import Size
from forward_stability.layers import ResidualS
from forward_stability.operators import adjoint_filter, conv, pad_channels
from forward_stability.spectral import norm_ball, proven_norm


class Denoiser(nn.Module):
    """Grey images to grey images, shape ``(batch, 1, height, width)``, values in [0, 1].

    Args:
        width: the channels inside.
        depth: the number of ResNet-S layers, without batch normalisation.

    Source: our own; close to Sherry et al. (2024), without their outer ReLU. Chapter 16.
    """

    def __init__(self, width: int = 8, depth: int = 6) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.ModuleList(ResidualS(width, batch_norm=False) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 1:
            raise InputError(f"the denoiser takes grey images, got {x.shape[1]} channels")
        z = pad_channels(x, self.width)
        for layer in self.layers:
            z = layer(z)
        image = (self.width - 1) // 2  # where the padding has put it
        return z[:, image : image + 1].clamp(0, 1)

    def constrain_(self, size: Size, theta: float) -> None:
        """‖A‖ ≤ √(2θ) in every layer from now on, for images of one size.

        Raises:
            InputError: if θ is not between 0 and 1.
        """
        if not 0 < theta < 1:
            raise InputError(f"theta must be between 0 and 1, got {theta}")
        for layer in self.layers:
            norm_ball(layer.conv, sqrt(2 * theta), size)  # type: ignore[arg-type]

    def constant(self, size: Size) -> float:
        """κ for images of one size, from proven norms.

        Raises:
            InputError: if ‖A‖² is not below 2 in a layer.
        """
        filters = [layer.conv.weight.detach().double() for layer in self.layers]  # type: ignore
        steps = [gradient_step(1.0, proven_norm(K, size)) for K in filters]
        return composition([*steps, *(PROJECTION for _ in steps), PROJECTION])


@dataclass(frozen=True)
class Run:
    """What plug-and-play has done.

    Attributes:
        x: all x_k from x_0 on, shape ``(steps + 1, batch, 1, height, width)``.
        residuals: ‖x_k − x_{k+1}‖, shape ``(steps, batch)``.
    """

    x: Tensor
    residuals: Tensor


@torch.no_grad()
def plug_and_play(
    denoiser: Callable[[Tensor], Tensor],
    K: Tensor,
    y: Tensor,
    steps: int,
    beta: float = 1.0,
    s: float = 1.0,
    x0: Tensor | None = None,
) -> Run:
    r"""Deblur by steps downhill and a denoiser in turn, from x_0, clamped to [0, 1].

    .. math:: x_{k+1} = (1 - \beta) z_k + \beta D(z_k), \qquad
              z_k = P\bigl(x_k - s B^T (B x_k - y)\bigr) .

    Args:
        denoiser: D, a map of images.
        K: the filter of the blur B, shape ``(1, 1, n, n)``; the boundary is periodic.
        y: blurred images with noise, shape ``(batch, 1, height, width)``.
        steps: how many.
        beta: the strength β of the denoiser, 0 < β ≤ 1.
        s: the step downhill, below 2/‖B‖².
        x0: where it begins, of the shape of y; by default y.

    Source: Venkatakrishnan et al. (2013), with a gradient step as in Ryu et al. (2019). Chapter 16.
    """
    x = [(y if x0 is None else x0).clamp(0, 1)]
    for _ in range(steps):
        downhill = x[-1] - s * conv(conv(x[-1], K) - y, adjoint_filter(K))
        z = downhill.clamp(0, 1)
        x.append(z + beta * (denoiser(z) - z))
    path = torch.stack(x)
    return Run(path, (path[1:] - path[:-1]).flatten(2).norm(dim=2))


def plug_and_play_constant(
    denoiser: Denoiser, K: Tensor, size: Size, beta: float = 1.0, s: float = 1.0
) -> float:
    """κ of one step of :func:`plug_and_play`: gradient step, projection and relaxed denoiser.

    Raises:
        InputError: if a norm is too large, see :func:`~forward_stability.averaged.gradient_step`.
    """
    downhill = gradient_step(s, proven_norm(K.double(), size))
    return composition([downhill, PROJECTION, relaxation(denoiser.constant(size), beta)])
