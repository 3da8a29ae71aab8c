"""The corruptions of Eq. 28: unstructured noise, and a multiple of one image. Chapter 14."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from forward_stability.errors import InputError


def unstructured_noise(images: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """The images plus independent normal noise in every pixel: x + η, η ~ N(0, σ²).

    Values are not cut off at 0 and 1, as Eq. 28 does not.

    Args:
        images: in [0, 1], shape ``(batch, channels, height, width)``.
        sigma: σ ≥ 0, on the [0, 1] scale.
        generator: on the CPU, so that the noise is the same whatever the device of the images.

    Source: Eq. 28a. Chapter 14.
    """
    if not 0 <= sigma < float("inf"):
        raise InputError(f"sigma must be at least 0 and finite, got {sigma}")
    noise = torch.randn(images.shape, generator=generator, dtype=images.dtype)
    return images + sigma * noise.to(images.device)


def seeded_normal(shape: Sequence[int], seed: int) -> Tensor:
    """Independent standard normal numbers that depend on the seed alone, in any version of NumPy.

    The explorers draw the same numbers in the browser (``book/live/normal.js``), so that
    ``image + sigma * seeded_normal(image.shape, seed)`` is the image that they show.

    Args:
        shape: of the result; it is filled in the order of its indices.
        seed: from 0 to 2³² − 1.

    Returns:
        float64.

    Source: η/σ of Eq. 28a. Chapter 14.
    """
    # NumPy keeps the numbers of its old generator as they are; it may change those of the new one.
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(tuple(shape)))


def structured_noise(images: Tensor, x0: Tensor, epsilon: float) -> Tensor:
    """The images plus a multiple of one fixed image: x + ε x0.

    Args:
        images: in [0, 1], shape ``(batch, channels, height, width)``.
        x0: the fixed image, in [0, 1], shape ``(channels, height, width)``.
        epsilon: ε ≥ 0.

    Source: Eq. 28b. Chapter 14.
    """
    if not 0 <= epsilon < float("inf"):
        raise InputError(f"epsilon must be at least 0 and finite, got {epsilon}")
    if x0.shape != images.shape[1:]:
        raise InputError(f"x0 must have the shape {tuple(images.shape[1:])}, got {tuple(x0.shape)}")
    return images + epsilon * x0.to(images)
