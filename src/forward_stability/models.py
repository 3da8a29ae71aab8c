r"""The residual layers of the paper and the network of Fig. 1 made of them.

======== ============== ==================================================== =====================
variant  name           residual layer                                       paper
======== ============== ==================================================== =====================
D        ResNet-D       σ(x − A2 σ(A1 x + b1) + b2) with A2 ≥ 0              Eq. 14, Fig. 2a
S        ResNet-S       σ(x − Aᵀ σ(A x + b1) + b2)                           Eq. 15, Fig. 2b
original ResNet         σ(x + A2 σ(A1 x + b1) + b2)                          Fig. 2c, He et al.
======== ============== ==================================================== =====================

A convolution and the batch normalisation behind it are one affine map Ax + b (Remark 2). All
convolutions are periodic. Chapter 8 draws the network.
"""

from collections.abc import Sequence
from functools import partial
from math import prod, sqrt

import torch
from torch import Tensor, nn

from forward_stability.errors import InputError
from forward_stability.operators import adjoint_filter, conv, global_pool, pad_channels, pool2
from forward_stability.prox import relu
from forward_stability.spectral import trained_weight

VARIANTS = {"D": "ResNet-D", "S": "ResNet-S", "original": "ResNet"}
"""The short names of the variants, as on the command line, and the names in the book."""


def check_variant(variant: str) -> None:
    """Raise InputError unless the variant is one of :data:`VARIANTS`."""
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r}: choose one of {', '.join(VARIANTS)}")


def check_positive(**numbers: int) -> None:
    """Raise InputError, with the name, if one of the numbers is below 1."""
    for name, number in numbers.items():
        if number < 1:
            raise InputError(f"{name} must be at least 1, got {number}")


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


class Convolution(nn.Module):
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


class ResidualD(nn.Module):
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


class ResidualS(nn.Module):
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


class Residual(nn.Module):
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


class Pooling(nn.Module):
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


class GlobalPooling(nn.Module):
    """The global pooling layer, x ↦ Pg σ(x).

    Source: Eq. 19, Fig. 4b. Chapter 8.
    """

    def forward(self, x: Tensor) -> Tensor:
        return global_pool(relu(x))


class Halving(nn.Module):
    """x ↦ P2 x in front of the network: images of half the height and width. Its norm is 1/2.

    Source: Eq. 33. Chapter 15.
    """

    def forward(self, x: Tensor) -> Tensor:
        return pool2(x)


class Flattening(nn.Flatten):
    """All features side by side, in place of the global pooling. Its norm is 1.

    Source: our own. Chapter 15.
    """


class Classifier(nn.Linear):
    """The fully connected layer, x ↦ W x + b; W starts small (a truncated normal), b at 0.

    Source: Eq. 17, Fig. 3b; Sect. 4 for σ = 1/(d3 C), truncated at 2σ. Chapter 8.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, classes)
        std = 1 / (width * classes)
        nn.init.trunc_normal_(self.weight, std=std, a=-2 * std, b=2 * std)
        nn.init.zeros_(self.bias)


class Network(nn.Module):
    """The network of Fig. 1.

    ``layers[n]`` is Layer n of the paper: 0 the convolution; 1 to m, m + 2 to 2m and 2m + 2 to 3m
    the residual layers; m + 1 and 2m + 1 the pooling layers (for the original ResNet, residual
    layers of stride 2); 3m + 1 the global pooling; 3m + 2 the classifier. The input is an image
    with values in [0, 1]; x^0 is the image less the ``mean`` of the training images.

    Args:
        variant: "D", "S" or "original".
        blocks: m ≥ 1, the number of residual layers in the first stage.
        width: d1; the stages have d1, 2·d1 and 4·d1 channels.
        channels: d0, the channels of an image.
        classes: C.
        batch_norm: False for biases in place of the batch normalisations; D and S only.
        outer_relu: False for residual layers of ResNet-S without the outer ReLU.
        halve: a 2D average pooling in front of everything; the indices of the layers above are
            then one higher.
        flatten: the height and width of the images, for a classifier that sees all features of
            the last map in place of their means.

    Raises:
        InputError: for an unknown variant, a number below 1 or options that do not go together.

    Source: Fig. 1, Sect. 3.1. Chapters 8 and 15.
    """

    def __init__(
        self,
        variant: str = "S",
        blocks: int = 3,
        width: int = 16,
        channels: int = 3,
        classes: int = 10,
        *,
        batch_norm: bool = True,
        outer_relu: bool = True,
        halve: bool = False,
        flatten: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_variant(variant)
        check_positive(blocks=blocks, width=width, channels=channels, classes=classes)
        if variant == "original" and not batch_norm:
            raise InputError("the original ResNet is here with batch normalisation only")
        if variant != "S" and not outer_relu:
            raise InputError("outer_relu=False is for variant S only")
        self.variant, self.blocks, self.channels = variant, blocks, channels
        layer = {
            "D": partial(ResidualD, batch_norm=batch_norm),
            "S": partial(ResidualS, batch_norm=batch_norm, outer_relu=outer_relu),
            "original": Residual,
        }[variant]
        layers: list[nn.Module] = [Halving()] if halve else []
        layers.append(Convolution(channels, width, batch_norm))
        for stage in range(3):
            d = width * 2**stage
            if stage > 0:
                narrow = d // 2
                strided = variant == "original"
                layers.append(Residual(narrow, d) if strided else Pooling(narrow, batch_norm))
            layers += [layer(d) for _ in range(blocks if stage == 0 else blocks - 1)]
        stride = 8 if halve else 4
        pixels = prod(-(-n // stride) for n in flatten) if flatten else 1
        layers.append(Flattening() if flatten else GlobalPooling())
        layers.append(Classifier(4 * width * pixels, classes))
        self.layers = nn.ModuleList(layers)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))

    @property
    def name(self) -> str:
        """Such as "ResNet-D, m = 3"."""
        return f"{VARIANTS[self.variant]}, m = {self.blocks}"

    @property
    def depth(self) -> int:
        """The number of filters and weight matrices, as Table 2 counts the depth."""
        return sum(isinstance(module, PeriodicConv2d | nn.Linear) for module in self.modules())

    @property
    def parameter_count(self) -> int:
        """The number of trainable parameters, as Table 2 counts them."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def centred(self, images: Tensor) -> Tensor:
        """The input x^0 of the first layer: the images less the mean of the training images.

        Args:
            images: values in [0, 1], shape ``(batch, channels, height, width)``.

        Raises:
            InputError: if the shape does not fit the network.
        """
        if images.dim() != 4 or images.shape[1] != self.channels:
            raise InputError(
                f"images must have the shape (batch, {self.channels}, height, width), "
                f"got {tuple(images.shape)}"
            )
        return images - self.get_buffer("mean")

    def features(self, images: Tensor) -> list[Tensor]:
        """The inputs of all layers and the output: x^0, x^1, …, x^N with N = 3m + 3.

        Args:
            images: values in [0, 1], shape ``(batch, channels, height, width)``.

        Source: Theorem 5. Chapters 9 to 12.
        """
        x = [self.centred(images)]
        for layer in self.layers:
            x.append(layer(x[-1]))
        return x

    def forward(self, images: Tensor) -> Tensor:
        """The scores x^N of the classes, shape ``(batch, classes)``, from images in [0, 1]."""
        x = self.centred(images)
        for layer in self.layers:
            x = layer(x)
        return x


def project_(network: nn.Module) -> None:
    """Project every K2 of a ResNet-D onto the nonnegative filters, in place.

    "In each gradient descent step, K2 is projected onto the positive set." Training does this
    after every step of the optimiser; do the same in a loop of your own.

    Source: Table 1 and Sect. 4. Chapters 5 and 13.
    """
    for module in network.modules():
        if isinstance(module, ResidualD):
            module.project_()
