"""The network of Fig. 1, in the variants of the paper. Chapter 8 draws it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

from forward_stability.errors import InputError
from forward_stability.layers import (
    Classifier,
    Convolution,
    Flattening,
    GlobalPooling,
    Halving,
    MaxMin,
    PeriodicConv2d,
    Pooling,
    Residual,
    ResidualD,
    ResidualS,
    Unshuffling,
)

VARIANTS = {"D": "ResNet-D", "S": "ResNet-S", "original": "ResNet"}
"""The short names of the variants, as on the command line, and the names in the book."""

POOLINGS = ("paper", "unshuffling")
"""What stands between the stages, see :class:`Network`."""


def check_variant(variant: str) -> None:
    """Raise InputError unless the variant is one of :data:`VARIANTS`."""
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r}: choose one of {', '.join(VARIANTS)}")


def check_positive(**numbers: int) -> None:
    """Raise InputError, with the name, if one of the numbers is below 1."""
    for name, number in numbers.items():
        if number < 1:
            raise InputError(f"{name} must be at least 1, got {number}")


def check_finite(module: nn.Module) -> None:
    """Raise InputError, with the name, if a weight or a statistic is NaN or infinite."""
    for name, tensor in module.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{name} of the network is not finite: train it again")


def load_state(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load weights and statistics.

    Raises:
        InputError: if names or shapes are not those of the module, which is unchanged then.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name in sorted(shapes.keys() | tensors.keys()):
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        if found != (expected := shapes.get(name, "nothing")):
            raise InputError(
                f"the weights are of another network: {name} is {found}, not {expected}"
            )
    module.load_state_dict(tensors)


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
        residual: from the width d, what stands in place of each residual layer of ResNet-S; the
            indices above count all of these layers.
        maxmin: a convolution and :class:`~forward_stability.layers.MaxMin` there.
        halve: a 2D average pooling in front of everything; the indices of the layers above are
            then one higher.
        unshuffle: :class:`~forward_stability.layers.Unshuffling` in place of the convolution.
        pooling: "paper", or "unshuffling" in place of the pooling layers of D and S.
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
        residual: Callable[[int], Sequence[nn.Module]] | None = None,
        maxmin: bool = False,
        halve: bool = False,
        unshuffle: bool = False,
        pooling: str = "paper",
        flatten: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_variant(variant)
        check_positive(blocks=blocks, width=width, channels=channels, classes=classes)
        if variant == "original" and not batch_norm:
            raise InputError("the original ResNet is here with batch normalisation only")
        if variant != "S" and not outer_relu:
            raise InputError("outer_relu=False is for variant S only")
        if (residual or maxmin) and (variant != "S" or not outer_relu or batch_norm):
            raise InputError("residual and maxmin are for variant S without batch normalisation")
        if residual and maxmin:
            raise InputError("residual and maxmin exclude each other")
        if pooling not in POOLINGS:
            raise InputError(f"unknown pooling {pooling!r}: choose one of {', '.join(POOLINGS)}")
        if variant == "original" and pooling != "paper":
            raise InputError("the original ResNet has no pooling layers to replace")
        self.variant, self.blocks, self.channels = variant, blocks, channels
        layer = {
            "D": partial(ResidualD, batch_norm=batch_norm),
            "S": partial(ResidualS, batch_norm=batch_norm, outer_relu=outer_relu),
            "original": Residual,
        }[variant]
        self.maxmin = maxmin
        residual = _sorting if maxmin else residual
        chain: list[nn.Module] = [Halving()] if halve else []
        chain.append((Unshuffling if unshuffle else Convolution)(channels, width, batch_norm))
        for stage in range(3):
            d = width * 2**stage
            if stage > 0:
                narrow = d // 2
                if variant == "original":
                    chain.append(Residual(narrow, d))
                elif pooling == "unshuffling":
                    chain.append(Unshuffling(narrow, d, batch_norm))
                else:
                    chain.append(Pooling(narrow, batch_norm))
            for _ in range(blocks if stage == 0 else blocks - 1):
                chain += residual(d) if residual else [layer(d)]
        stride = 4 * 2 ** (halve + unshuffle)
        pixels = prod(-(-n // stride) for n in flatten) if flatten else 1
        chain.append(Flattening() if flatten else GlobalPooling())
        chain.append(Classifier(4 * width * pixels, classes))
        self.layers = nn.ModuleList(chain)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))

    @property
    def name(self) -> str:
        """Such as "ResNet-D, m = 3"."""
        return f"{'MaxMin' if self.maxmin else VARIANTS[self.variant]}, m = {self.blocks}"

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


def _sorting(width: int) -> list[nn.Module]:
    """What stands in place of a residual layer with ``maxmin``."""
    return [Convolution(width, width, batch_norm=False), MaxMin(width)]


def project_(network: nn.Module) -> None:
    """Project every K2 of a ResNet-D onto the nonnegative filters, in place.

    "In each gradient descent step, K2 is projected onto the positive set." Training does this
    after every step of the optimiser; do the same in a loop of your own.

    Source: Table 1 and Sect. 4. Chapters 5 and 13.
    """
    for module in network.modules():
        if isinstance(module, ResidualD):
            module.project_()
