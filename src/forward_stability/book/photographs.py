"""Grey photographs that come with scikit-image, and the same blurred, for chapter 16."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from forward_stability.operators import conv, pool2

TRAINING = ("astronaut", "chelsea", "coffee", "rocket")
"""What a denoiser is trained on."""

SIZE = 64
"""The height and width of a crop that is deblurred."""

CROPS = {
    "train": [("astronaut", 20, 80), ("coffee", 40, 60)],
    "test": [("camera", 36, 90), ("coins", 20, 40), ("text", 10, 60)],
}
"""Photograph, row and column of the crops on which options are chosen, and of those shown."""

BLUR, SENSOR = 1.5, 0.02
"""Standard deviations: of the blur in pixels, and of the noise behind it."""


@lru_cache
def photograph(name: str) -> Tensor:
    """A photograph of scikit-image in grey at half its size, float64 in [0, 1], shape (h, w)."""
    from skimage import color, data

    picture = getattr(data, name)()
    grey = color.rgb2gray(picture) if picture.ndim == 3 else picture / 255
    h, w = (n - n % 2 for n in grey.shape)
    return pool2(torch.tensor(np.ascontiguousarray(grey[:h, :w]))[None, None])[0, 0]


def crops(part: str) -> Tensor:
    """The crops of :data:`CROPS`, "train" or "test", shape ``(crops, 1, 64, 64)``."""
    parts = [photograph(name)[i : i + SIZE, j : j + SIZE] for name, i, j in CROPS[part]]
    return torch.stack(parts)[:, None]


def blur_filter(n: int = 9) -> Tensor:
    """A Gaussian of the standard deviation :data:`BLUR`, shape (1, 1, n, n); its sum is 1."""
    t = torch.arange(n, dtype=torch.float64) - n // 2
    wave = torch.exp(-t.square() / (2 * BLUR**2))
    K = wave[:, None] * wave
    return (K / K.sum())[None, None]


def blurred(part: str) -> tuple[Tensor, Tensor]:
    """The crops of a part, and the same blurred, with noise; periodic boundary."""
    clean = crops(part)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).double()
    return clean, conv(clean, blur_filter()) + SENSOR * noise
