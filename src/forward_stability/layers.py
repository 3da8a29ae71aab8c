r"""The layers of the paper as they are trained.

======== ============== ==================================================== =====================
variant  name           residual layer                                       paper
======== ============== ==================================================== =====================
D        ResNet-D       σ(x − A2 σ(A1 x + b1) + b2) with A2 ≥ 0              Eq. 14, Fig. 2a
S        ResNet-S       σ(x − Aᵀ σ(A x + b1) + b2)                           Eq. 15, Fig. 2b
original ResNet         σ(x + A2 σ(A1 x + b1) + b2)                          Fig. 2c, He et al.
======== ============== ==================================================== =====================

A convolution and the batch normalisation behind it are one affine map Ax + b (Remark 2). All
convolutions are periodic. Chapter 8.
"""

from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from forward_stability.errors import InputError
from forward_stability.folded_residual import FoldedOriginal, FoldedResidual, FoldedSymmetric
from forward_stability.folding import (
    FoldedConv,
    FoldedFlattening,
    FoldedGlobalPooling,
    FoldedHalving,
    FoldedLinear,
    FoldedPooling,
    FoldedUnshuffling,
    scaled,
)
from forward_stability.layer import Layer, Size
from forward_stability.operators import (
    adjoint_filter,
    batch_norm_affine,
    conv,
    global_pool,
    pad_channels,
    pool2,
    pool2_norm,
    unshuffle,
)
from forward_stability.prox import relu
from forward_stability.spectral import conv_norm_bound, norm_ball, trained_weight


class PeriodicConv2d(nn.Module):
    """A convolution with periodic boundary and without bias; ``weight`` has shape (out, in, n, n).

    Source: Eq. 16 and Definition 2. Chapters 7 and 8.
    """

    def __init__(self, into: int, out: int, n: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(out, into, n, n))
        # "Variance scaling" [15]: He et al.'s normal distribution of variance 2 / fan-in.
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return conv(x, self.weight, self.stride)


class Bias(nn.Module):
    """x ↦ x + b with one number a channel, in place of a batch normalisation; b starts at 0.

    Source: Eqs. 14-18, which have no batch normalisation. Chapter 15.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias[:, None, None]


class Lifted(nn.Module):
    """A parametrization of a bias b of x ↦ K x + b: b + ``above`` − ``below`` K1.

    The layer then gives for x + ``below`` what it gave for x, plus ``above``, and the gradients for
    K and b are those of a layer that is not lifted. K is not its own: it is kept in a list.

    Source: our own. Chapter 15.
    """

    def __init__(self, filtered: nn.Module, below: float, above: float) -> None:
        super().__init__()
        self.filtered, self.below, self.above = [filtered], below, above

    def forward(self, b: Tensor) -> Tensor:
        K: Tensor = self.filtered[0].weight  # type: ignore[assignment]
        return b + self.above - self.below * K.flatten(1).sum(1)


def _lift(bias: nn.Module, filtered: nn.Module, below: float, above: float) -> None:
    parametrize.register_parametrization(bias, "bias", Lifted(filtered, below, above))


def _filter(conv: PeriodicConv2d) -> Tensor:
    return conv.weight.detach().double()


def _shorten_(conv: PeriodicConv2d, size: Size) -> None:
    """Give the filter the norm √2/10, in place."""
    conv.weight.mul_(sqrt(2) / 10 / conv_norm_bound(conv.weight, size)[0])


def _one_tap_(K: Tensor, norm: float) -> None:
    """Make the filter ``norm`` times a random orthogonal matrix at each pixel, in place."""
    Q, middle = nn.init.orthogonal_(torch.empty_like(K[..., 0, 0])), K.shape[-1] // 2
    K.zero_()[..., middle, middle] = norm * Q


def _affine(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch normalisation or of the bias in its place."""
    if isinstance(layer, Bias):
        shift = layer.bias.detach().double()
        return torch.ones_like(shift), shift
    assert isinstance(layer, nn.BatchNorm2d)
    return batch_norm_affine(layer)


class Convolution(Layer):
    """The first layer, x ↦ A x + b.

    Source: Eq. 16, Fig. 3a. Chapter 8.
    """

    def __init__(self, into: int, out: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.conv = PeriodicConv2d(into, out)
        self.bn = nn.BatchNorm2d(out) if batch_norm else Bias(out)
        # "Uniform scaling" [37]: a uniform distribution of variance 1 / fan-in.
        limit = sqrt(3 / self.conv.weight[0].numel())
        nn.init.uniform_(self.conv.weight, -limit, limit)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))

    def fold(self) -> FoldedConv:
        scale, shift = _affine(self.bn)
        return FoldedConv(scaled(_filter(self.conv), scale), shift)

    def constrain_(self, size: Size, c: float) -> None:
        """‖A‖ ≤ 1 (Eqs. 20a and 23a)."""
        norm_ball(self.conv, 1.0, size)

    def initialise_(self, size: Size, kind: str) -> None:
        """Of kind "isometry", and between as many channels: one tap Q, orthogonal."""
        K = self.conv.weight
        if kind == "isometry" and K.shape[0] == K.shape[1]:
            _one_tap_(K, 1.0)

    def lift_(self, below: float, above: float) -> None:
        _lift(self.bn, self.conv, below, above)


class ResidualD(Layer):
    """The ResNet-D layer, x ↦ σ(x − A2 σ(A1 x + b1) + b2) with A2 ≥ 0.

    The second batch normalisation has γ = 1 and β = 0 fixed, so that it keeps the sign of A2
    (Remark 2). :func:`project_` restores K2 ≥ 0 after a step of an optimiser.

    Source: Eq. 14, Fig. 2a. Chapters 5, 8 and 9.
    """

    def __init__(self, width: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.conv1 = PeriodicConv2d(width, width)
        self.bn1 = nn.BatchNorm2d(width) if batch_norm else Bias(width)
        self.conv2 = PeriodicConv2d(width, width)
        self.bn2 = nn.BatchNorm2d(width, affine=False) if batch_norm else Bias(width)
        self.project_()

    @torch.no_grad()
    def project_(self) -> None:
        """Project K2 onto the nonnegative filters, in place: the prox of I(K2 ≥ 0) in Table 1."""
        trained_weight(self.conv2).clamp_(min=0)

    def forward(self, x: Tensor) -> Tensor:
        return relu(x - self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))

    def fold(self) -> FoldedResidual:
        (s1, b1), (s2, shift) = _affine(self.bn1), _affine(self.bn2)
        K1, K2 = scaled(_filter(self.conv1), s1), scaled(_filter(self.conv2), s2)
        return FoldedResidual(K1, b1, K2, -shift)

    def constrain_(self, size: Size, c: float) -> None:
        """‖A1‖, ‖A2‖ ≤ √2; Theorem 5 has no limit for them."""
        norm_ball(self.conv1, sqrt(2), size)
        norm_ball(self.conv2, sqrt(2), size)

    def initialise_(self, size: Size, kind: str) -> None:
        """Of kind "identity": both norms are √2/10."""
        if kind == "identity":
            _shorten_(self.conv1, size)
            _shorten_(self.conv2, size)


class ResidualS(Layer):
    """The ResNet-S layer, x ↦ σ(x − Aᵀ σ(A x + b1) + b2).

    There is one filter: the second convolution is the adjoint of the first. Without the outer
    ReLU it is the convex potential layer of Meunier et al. (2022).

    Source: Eq. 15, Fig. 2b. Chapters 6, 8, 10 and 15.
    """

    def __init__(self, width: int, batch_norm: bool = True, outer_relu: bool = True) -> None:
        super().__init__()
        self.outer_relu = outer_relu
        self.conv = PeriodicConv2d(width, width)
        self.bn1 = nn.BatchNorm2d(width) if batch_norm else Bias(width)
        self.bn2 = nn.BatchNorm2d(width, affine=False) if batch_norm else Bias(width)

    def forward(self, x: Tensor) -> Tensor:
        K = self.conv.weight
        y = relu(self.bn1(conv(x, K)))
        z = x - self.bn2(conv(y, adjoint_filter(K)))
        return relu(z) if self.outer_relu else z

    def fold(self) -> FoldedSymmetric:
        (d1, b1), (d2, shift) = _affine(self.bn1), _affine(self.bn2)
        return FoldedSymmetric(_filter(self.conv), b1, -shift, d1, d2, self.outer_relu)

    def constrain_(self, size: Size, c: float) -> None:
        """‖A‖ ≤ √2 (Eq. 24)."""
        norm_ball(self.conv, sqrt(2), size)

    def lift_(self, below: float, above: float) -> None:
        """b1 is moved, so that the hidden units see x; x + ``below`` passes by them."""
        _lift(self.bn1, self.conv, below, 0.0)

    def initialise_(self, size: Size, kind: str) -> None:
        """Of kind "identity": the norm is √2/10; "isometry": one tap √2 Q with Q orthogonal."""
        if kind == "identity":
            _shorten_(self.conv, size)
        elif kind == "isometry":
            _one_tap_(self.conv.weight, sqrt(2))


class MaxMin(Layer):
    """(u, v) ↦ (max(u, v), min(u, v)), u the first half of the channels and v the second.

    It sorts pairs, so it preserves every norm and expands no distance. It is the layer of ResNet-S
    x ↦ x − Aᵀ σ(A x) with A(u, v) = v − u, ‖A‖ = √2, without outer ReLU.

    Args:
        width: the number of channels, even.

    Source: Anil, Lucas & Grosse (2019), "Sorting out Lipschitz function approximation". Chapter 15.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 2:
            raise InputError(f"MaxMin needs an even number of channels, got {width}")
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2, dim=1)
        return torch.cat([torch.maximum(u, v), torch.minimum(u, v)], dim=1)

    def fold(self) -> FoldedSymmetric:
        half = torch.eye(self.width // 2, dtype=torch.float64)
        K = half.new_zeros(self.width // 2, self.width, 3, 3)  # of 3x3, as every residual layer
        K[..., 1, 1] = torch.cat([-half, half], dim=1)
        ones = half.new_ones(self.width)
        return FoldedSymmetric(K, 0 * half[0], 0 * ones, half.sum(0), ones, outer_relu=False)

    def constrain_(self, size: Size, c: float) -> None:
        """It has no filter."""


class Residual(Layer):
    """The original residual layer, x ↦ σ(x + A2 σ(A1 x + b1) + b2); with ``out``, strided.

    Where the width changes, the shortcut takes every second pixel and pads the channels with
    zeros (He et al.'s option A), so that it has no parameters.

    Source: Fig. 2c; He, Zhang, Ren & Sun, "Deep Residual Learning" (2016), Sect. 3.3. Chapter 8.
    """

    def __init__(self, width: int, out: int | None = None) -> None:
        super().__init__()
        self.out = out or width
        self.stride = 1 if self.out == width else 2
        self.conv1 = PeriodicConv2d(width, self.out, stride=self.stride)
        self.bn1 = nn.BatchNorm2d(self.out)
        self.conv2, self.bn2 = PeriodicConv2d(self.out, self.out), nn.BatchNorm2d(self.out)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = pad_channels(x[..., :: self.stride, :: self.stride], self.out)
        return relu(shortcut + self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))

    def fold(self) -> FoldedOriginal:
        (s1, b1), (s2, shift) = _affine(self.bn1), _affine(self.bn2)
        K1, K2 = scaled(_filter(self.conv1), s1), scaled(_filter(self.conv2), -s2)
        return FoldedOriginal(K1, b1, K2, shift, self.stride)


class Pooling(Layer):
    """The 2D pooling layer, x ↦ σ(E P2 x − σ(A|s=2 x + b)): half the resolution, twice the width.

    Source: Eq. 18, Fig. 4a. Chapter 8.
    """

    def __init__(self, width: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.conv = PeriodicConv2d(width, 2 * width, stride=2)
        self.bn = nn.BatchNorm2d(2 * width) if batch_norm else Bias(2 * width)

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.bn(self.conv(x)))
        return relu(pad_channels(pool2(x), y.shape[1]) - y)

    def fold(self) -> FoldedPooling:
        scale, shift = _affine(self.bn)
        return FoldedPooling(scaled(_filter(self.conv), scale), shift)

    def constrain_(self, size: Size, c: float) -> None:
        """‖A‖ ≤ c."""
        norm_ball(self.conv, c, size)

    def constrained_norm(self, size: Size, c: float) -> float:
        return pool2_norm(size) + c


class Unshuffling(Layer):
    """x ↦ A U x + b: half the resolution, pixels become channels, in place of a 2D pooling layer.

    U makes four channels of the 2x2 pixels of one and keeps every norm; A is a matrix at each
    pixel. If constrained, the bound is 1 in place of 1/2 + c. A starts as the Haar transform: the
    means of the squares come first, times 2, then differences, as many as there is room for.

    Args:
        into, out: channels.

    Source: our own. Chapter 15.
    """

    def __init__(self, into: int, out: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.conv = PeriodicConv2d(4 * into, out, 1)
        self.bn = nn.BatchNorm2d(out) if batch_norm else Bias(out)
        haar = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
        bands = torch.einsum("kp,cd->kcdp", haar, torch.eye(into)).reshape(4 * into, 4 * into)
        self.conv.weight.data.zero_()[: 4 * into, :, 0, 0] = bands[:out]

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(unshuffle(x)))

    def fold(self) -> FoldedUnshuffling:
        scale, shift = _affine(self.bn)
        return FoldedUnshuffling(scaled(_filter(self.conv), scale)[..., 0, 0], shift)

    def constrain_(self, size: Size, c: float) -> None:
        """‖A‖ ≤ 1."""
        norm_ball(self.conv, 1.0, (1, 1))

    def lift_(self, below: float, above: float) -> None:
        _lift(self.bn, self.conv, below, above)


class GlobalPooling(Layer):
    """The global pooling layer, x ↦ Pg σ(x).

    Source: Eq. 19, Fig. 4b. Chapter 8.
    """

    def forward(self, x: Tensor) -> Tensor:
        return global_pool(relu(x))

    def fold(self) -> FoldedGlobalPooling:
        return FoldedGlobalPooling()

    def lift_(self, below: float, above: float) -> None:
        """It has no bias, and needs none."""

    def constrain_(self, size: Size, c: float) -> None:
        """It has no filter."""

    def constrained_norm(self, size: Size, c: float) -> float:
        return 1 / sqrt(prod(size))


class Halving(Layer):
    """x ↦ P2 x in front of the network: images of half the height and width. Its norm is 1/2.

    Source: Eq. 33. Chapter 15.
    """

    def forward(self, x: Tensor) -> Tensor:
        return pool2(x)

    def fold(self) -> FoldedHalving:
        return FoldedHalving()

    def constrain_(self, size: Size, c: float) -> None:
        """It has no filter."""

    def constrained_norm(self, size: Size, c: float) -> float:
        return pool2_norm(size)


class Flattening(Layer):
    """All features side by side, in place of the global pooling. Its norm is 1.

    Source: our own. Chapter 15.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def fold(self) -> FoldedFlattening:
        return FoldedFlattening()

    def lift_(self, below: float, above: float) -> None:
        """It has no bias, and needs none."""

    def constrain_(self, size: Size, c: float) -> None:
        """It has no filter."""


class Classifier(nn.Linear, Layer):
    """The fully connected layer, x ↦ W x + b; W starts small (a truncated normal), b at 0.

    Source: Eq. 17, Fig. 3b; Sect. 4 for σ = 1/(d3 C), truncated at 2σ. Chapter 8.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, classes)
        std = 1 / (width * classes)
        nn.init.trunc_normal_(self.weight, std=std, a=-2 * std, b=2 * std)
        nn.init.zeros_(self.bias)

    def fold(self) -> FoldedLinear:
        return FoldedLinear(self.weight.detach().double(), self.bias.detach().double())

    def constrain_(self, size: Size, c: float) -> None:
        """‖W‖ ≤ 1 (Eqs. 20b and 23b)."""
        norm_ball(self, 1.0)

    def lift_(self, below: float, above: float) -> None:
        _lift(self, self, below, above)
