r"""How PyTorch's ``Conv2d`` lies on an image: stride and padding, and a torus that bounds its norm.

A convolution with zero padding is no circulant, but a part of one. Let the image have h rows, the
filter n, the padding p ≤ n − 1 and the stride s, and let T be any multiple of s with T ≥ h + p.
Put the image into a torus of T rows, zeros in the other ones: an isometry J. Output i reads the
rows is − p, …, is − p + n − 1, which lie between −p and h − 1 + p. Modulo T those outside of the
image fall onto zeros, since T − p ≥ h and h − 1 + p < T; so the periodic convolution reads what the
padded one reads. The outputs begin at −p, s − p, …, at most h + p − n, less than T apart, so that
they are different outputs of the periodic convolution with stride s (moved by p, which is
unitary). Taking only these is a projection P. The same holds for the columns, and

.. math:: A = P\, A_{periodic}\, J, \qquad \|A\| \le \|A_{periodic}\|.

The right side is exact by Fourier's transform. Chapters 7 and 15.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from forward_stability.errors import InputError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Stride and padding of a convolution, for rows and columns; periodic, or with zeros."""

    stride: Pair
    padding: Pair
    circular: bool

    def output_size(self, size: Pair, kernel: Pair) -> Pair:
        """The height and width of the output, for those of the input and of the filter.

        Raises:
            InputError: if the filter is larger than the padded image.
        """
        return window_count(size, kernel, self.stride, self.padding)

    def torus(self, size: Pair) -> Pair:
        """The height and width of periodic images on which the convolution has no smaller norm."""
        if self.circular:
            return size
        rows, columns = (
            s * -(-(n + p) // s) for n, p, s in zip(size, self.padding, self.stride, strict=True)
        )
        return rows, columns


def window_count(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """How many windows fit side by side into a padded image, along rows and columns.

    Raises:
        InputError: if there is none.
    """
    rows, columns = (
        (n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True)
    )
    if min(rows, columns) < 1:
        raise InputError(
            f"features of {size[0]}x{size[1]} pixels are too small for a window of "
            f"{kernel[0]}x{kernel[1]}: take larger images"
        )
    return rows, columns


def square(K: Tensor) -> Tensor:
    """The filter with zeros around it so that it is square; its middle stays where it was."""
    rows, columns = K.shape[-2:]
    tall, wide = max(columns - rows, 0), max(rows - columns, 0)
    if not tall and not wide:
        return K
    return F.pad(K, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))


def conv_geometry(conv: nn.Conv2d) -> Geometry:
    """The geometry of a layer.

    Raises:
        InputError: if there is no bound for a convolution of its kind.
    """
    if conv.transposed:
        raise InputError("a transposed convolution has no bound here: use a Conv2d")
    if conv.groups != 1:
        raise InputError(f"groups = {conv.groups} has no bound here: use groups = 1")
    if any(d != 1 for d in conv.dilation):
        raise InputError(f"dilation = {conv.dilation} has no bound here: use dilation = 1")
    if conv.padding_mode not in ("zeros", "circular"):
        raise InputError(
            f"padding_mode = {conv.padding_mode!r} has no bound here: use 'zeros' or 'circular'"
        )
    n, m = conv.kernel_size
    half, padding = (n // 2, m // 2), conv.padding
    circular = conv.padding_mode == "circular"
    if padding == "same" and (n % 2 == 0 or m % 2 == 0):
        raise InputError("padding = 'same' with an even filter: give the padding as a number")
    if isinstance(padding, str):
        padding = half if padding == "same" else (0, 0)
    p, q = padding
    if circular and (n % 2 == 0 or m % 2 == 0):
        raise InputError(f"circular padding of an even filter, {n}x{m}: use an odd one")
    if circular and (p, q) != half:
        raise InputError(f"circular padding of {padding} pixels: use {half}, half of the filter")
    if p >= n or q >= m:
        raise InputError(f"padding of {padding} pixels for a filter of {n}x{m}: use n - 1 at most")
    s, t = conv.stride
    return Geometry((s, t), (p, q), circular)
