r"""The linear operators of the network: periodic convolution, its adjoint, padding and pooling.

Images and features are tensors of shape ``(batch, channels, height, width)``, filters of shape
``(out, in, n, n)`` with n odd, as everywhere in PyTorch; like PyTorch (and TensorFlow) we call
cross-correlation "convolution". The paper's matrix A of a filter is the matrix of
:func:`conv` under :func:`vec`; :func:`conv_matrix` writes it out. Chapter 7.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forward_stability.errors import InputError


def vec(x: Tensor) -> Tensor:
    r"""Vectorisation: X[(k−1)hw + (i−1)w + j] = x[k, i, j], counting from 1.

    Args:
        x: shape ``(..., channels, height, width)``.

    Returns:
        shape ``(..., channels * height * width)``.

    Source: Definition 1.
    """
    return x.flatten(-3)


def periodic_pad(x: Tensor, p: int) -> Tensor:
    """The features continued periodically by p pixels on each side.

    Written with concatenations, which keep the memory layout of ``x`` (``channels_last`` stays
    ``channels_last``), unlike ``F.pad(x, ..., mode="circular")``. Its gradient is
    :func:`periodic_fold`.

    Args:
        x: shape ``(batch, channels, height, width)``.
        p: pixels on each side, at most the height and the width.

    Returns:
        shape ``(batch, channels, height + 2p, width + 2p)``.

    Source: Sect. 4, "we assume that the input feature to each layer satisfies the periodic
    boundary condition".
    """
    if p == 0:
        return x
    if p > min(x.shape[-2:]):
        raise InputError(f"cannot pad {x.shape[-2]}x{x.shape[-1]} pixels periodically by {p}")
    return _PeriodicPad.apply(x, p)  # type: ignore[no-any-return]


def periodic_fold(y: Tensor, p: int) -> Tensor:
    r"""The adjoint of :func:`periodic_pad`: each margin is added back where it was copied from.

    Args:
        y: shape ``(batch, channels, height + 2p, width + 2p)``.
        p: pixels of the margin, at most the height and the width.

    Returns:
        shape ``(batch, channels, height, width)``.

    Source: Definition 3, for the periodic boundary. Chapter 7.
    """
    return _PeriodicFold.apply(y, p) if p else y  # type: ignore[no-any-return]


class _PeriodicPad(torch.autograd.Function):
    """Each is the gradient of the other. PyTorch's own gradient of slices and concatenations
    fills and adds whole images: it takes a fifth of a training step."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, p: int) -> Tensor:
        x = torch.cat([x[..., -p:, :], x, x[..., :p, :]], dim=-2)
        return torch.cat([x[..., -p:], x, x[..., :p]], dim=-1)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.p = inputs[1]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return periodic_fold(gradient, ctx.p), None


class _PeriodicFold(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(y: Tensor, p: int) -> Tensor:
        rows = y[..., p:-p, :].clone()
        rows[..., -p:, :] += y[..., :p, :]
        rows[..., :p, :] += y[..., -p:, :]
        x = rows[..., p:-p].clone()
        x[..., -p:] += rows[..., :p]
        x[..., :p] += rows[..., -p:]
        return x

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.p = inputs[1]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return periodic_pad(gradient, ctx.p), None


def conv(x: Tensor, K: Tensor, stride: int = 1) -> Tensor:
    r"""The periodic 2D convolution K * x, in the paper's matrix form :math:`A|_{s} X`.

    Args:
        x: shape ``(batch, in, height, width)``.
        K: the filter, shape ``(out, in, n, n)`` with n odd.
        stride: s; the output has ⌈height/s⌉ x ⌈width/s⌉ pixels.

    Returns:
        shape ``(batch, out, ⌈height/s⌉, ⌈width/s⌉)``.

    Raises:
        InputError: if n is even or the channels do not match.

    Source: Definition 2, Eq. 16.
    """
    n = K.shape[-1]
    if n % 2 == 0 or K.shape[-2] != n:
        raise InputError(f"a filter must be n x n with n odd, got {K.shape[-2]}x{n}")
    if x.shape[1] != K.shape[1]:
        raise InputError(f"the filter takes {K.shape[1]} channels, the features have {x.shape[1]}")
    return F.conv2d(periodic_pad(x, n // 2), K, stride=stride)


def conv_adjoint(y: Tensor, K: Tensor, size: tuple[int, int], stride: int = 1) -> Tensor:
    r"""The adjoint: :math:`\langle K * x, y \rangle = \langle x, \mathrm{adjoint}(y) \rangle`.

    In matrix form :math:`A^T Y`. The transposed convolution of y lives on the padded grid; the
    pixels that lie outside the image are added back where they were copied from.

    Args:
        y: shape ``(batch, out, ⌈height/s⌉, ⌈width/s⌉)``.
        K: the filter, shape ``(out, in, n, n)`` with n odd.
        size: the height and width of x (a stride loses them).
        stride: s.

    Returns:
        shape ``(batch, in, height, width)``.

    Source: Definition 3.
    """
    (h, w), p = size, K.shape[-1] // 2
    expected = (-(-h // stride), -(-w // stride))
    if tuple(y.shape[-2:]) != expected:
        raise InputError(f"size {h}x{w} with stride {stride} needs {expected} pixels in y")
    padded = F.conv_transpose2d(y, K, stride=stride)
    padded = F.pad(padded, (0, w + 2 * p - padded.shape[-1], 0, h + 2 * p - padded.shape[-2]))
    return periodic_fold(padded, p)


def adjoint_filter(K: Tensor) -> Tensor:
    r"""The filter whose convolution (stride 1) is the adjoint: turned by 180°, channels swapped.

    ``conv(y, adjoint_filter(K)) == conv_adjoint(y, K, size)``. ResNet-S computes it from K in
    every pass, and so has one filter a layer instead of two.

    Args:
        K: shape ``(out, in, n, n)``.

    Returns:
        shape ``(in, out, n, n)``.

    Source: Definition 3, Eq. 15.
    """
    return K.flip(-2, -1).transpose(0, 1)


def conv_matrix(K: Tensor, size: tuple[int, int], stride: int = 1) -> Tensor:
    r"""The dense block-circulant matrix A with vec(K * x) = A vec(x).

    For small sizes: it has (out·⌈h/s⌉·⌈w/s⌉) x (in·h·w) entries.

    Args:
        K: the filter, shape ``(out, in, n, n)`` with n odd.
        size: the height h and width w of x.
        stride: s.

    Source: Definitions 2 and 3.
    """
    (h, w), (out, into, n, _) = size, K.shape
    rows, cols = -(-h // stride), -(-w // stride)
    A = K.new_zeros(out, rows, cols, into, h, w)
    for i in range(rows):
        for j in range(cols):
            for a in range(n):
                for b in range(n):
                    u, v = (i * stride + a - n // 2) % h, (j * stride + b - n // 2) % w
                    A[:, i, j, :, u, v] += K[:, :, a, b]
    return A.reshape(out * rows * cols, into * h * w)


def pad_channels(x: Tensor, channels: int) -> Tensor:
    """The padding operator E: zero channels in front, ⌊(d2 − d1)/2⌋ of them, and behind.

    It preserves every ℓp norm (Proposition 1).

    Args:
        x: shape ``(batch, d1, height, width)``.
        channels: d2 ≥ d1.

    Returns:
        shape ``(batch, d2, height, width)``.

    Source: Definition 5, Eqs. 30 and 31.
    """
    extra = channels - x.shape[1]
    if extra < 0:
        raise InputError(f"cannot pad {x.shape[1]} channels to {channels}")
    return F.pad(x, (0, 0, 0, 0, extra // 2, extra - extra // 2))


def padding_filter(into: int, out: int) -> Tensor:
    """The filter of one tap whose convolution is :func:`pad_channels`, float64.

    Returns:
        shape ``(out, into, 1, 1)``.
    """
    eye = torch.eye(into, dtype=torch.float64)[..., None, None]
    return pad_channels(eye, out).transpose(0, 1)


def pool2(x: Tensor) -> Tensor:
    r"""The 2D average pooling P2: means over 2x2 squares, of which every pixel lies in one.

    An odd height or width is completed with a zero row or column. The norm is
    :math:`\|P_2\|_2 = 1/2` (Proposition 2 says ≤ 1).

    Args:
        x: shape ``(batch, channels, height, width)``.

    Returns:
        shape ``(batch, channels, ⌈height/2⌉, ⌈width/2⌉)``.

    Source: Definition 6, Eq. 33.
    """
    h, w = x.shape[-2:]
    return F.avg_pool2d(F.pad(x, (0, w % 2, 0, h % 2)) if h % 2 or w % 2 else x, 2)


def pool2_filter(into: int, out: int) -> Tensor:
    """The filter whose convolution with stride 2 is E P2 for an even height and width, float64.

    Returns:
        shape ``(out, into, 3, 3)``.
    """
    taps = torch.zeros(3, 3, dtype=torch.float64)
    taps[1:, 1:] = 1 / 4
    return padding_filter(into, out) * taps


def pool2_norm(size: tuple[int, int]) -> float:
    r"""The norm of P2, exactly: 1/2, or less where no 2x2 square lies in the image.

    Disjoint squares have orthogonal rows, and a row has at most four entries 1/4.

    Args:
        size: the height and width of x.

    Source: Proposition 2, which says ≤ 1. Chapter 7.
    """
    return (min(size[0], 2) * min(size[1], 2)) ** 0.5 / 4


def unshuffle(x: Tensor) -> Tensor:
    r"""Four channels from the 2x2 pixels of one.

    .. math:: (Ux)_{4c + 2i + j,\, k,\, l} = x_{c,\, 2k + i,\, 2l + j}, \qquad i, j \in \{0, 1\} .

    It only moves numbers. (PyTorch's ``pixel_unshuffle`` leaves an empty batch as it is.)

    Args:
        x: shape ``(batch, channels, height, width)``.

    Returns:
        shape ``(batch, 4 * channels, height / 2, width / 2)``.

    Raises:
        InputError: if the height or the width is odd.

    Source: Shi et al. (2016), backwards. Chapter 15.
    """
    n, c, h, w = x.shape
    if h % 2 or w % 2:
        raise InputError(f"unshuffling needs an even height and width, got {h}x{w}")
    squares = x.reshape(n, c, h // 2, 2, w // 2, 2)
    return squares.permute(0, 1, 3, 5, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def global_pool(x: Tensor) -> Tensor:
    r"""The global average pooling Pg: the mean of each channel.

    The norm is :math:`\|P_g\|_2 = 1/\sqrt{hw}` (Proposition 2 says ≤ 1).

    Args:
        x: shape ``(batch, channels, height, width)``.

    Returns:
        shape ``(batch, channels)``.

    Source: Definition 6.
    """
    return x.mean(dim=(-2, -1))


def batch_norm_affine(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    r"""Batch normalisation after training, as the affine map y ↦ scale · y + shift.

    With the running mean μ and variance s²: scale = γ / √(s² + ε), shift = β − scale · μ.

    Args:
        bn: the layer; its mode does not matter, the running statistics are taken.

    Returns:
        scale and shift, float64, of shape ``(channels,)`` each.

    Raises:
        InputError: if the layer keeps no running statistics (then it is not an affine map).

    Source: Definition 4, Eq. 29, Remark 2 (which have no ε). Chapter 11.
    """
    if bn.running_mean is None or bn.running_var is None:
        raise InputError("the batch normalisation keeps no running statistics to fold")
    mean, variance = bn.running_mean.double(), bn.running_var.double()
    scale = (variance + bn.eps).rsqrt()
    shift = torch.zeros_like(mean)
    if bn.affine:
        scale, shift = bn.weight.detach().double() * scale, bn.bias.detach().double()
    return scale, shift - scale * mean
