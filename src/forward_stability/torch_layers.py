r"""PyTorch's own layers in evaluation mode, folded one by one.

:data:`FOLDS` holds the types that have a bound. A subclass with a forward of its own is another
type: it is taken apart by :mod:`~forward_stability.graph`. Chapter 15.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from forward_stability.errors import InputError
from forward_stability.folded_torch import (
    FoldedAffine,
    FoldedConv2d,
    FoldedMaxPooling,
    FoldedMean,
    FoldedMeanPooling,
    FoldedReLU,
)
from forward_stability.folding import FoldedConv, FoldedFlattening, FoldedLinear
from forward_stability.geometry import Geometry, Pair, conv_geometry
from forward_stability.layer import Folded, Layer
from forward_stability.layers import Bias, PeriodicConv2d
from forward_stability.operators import batch_norm_affine


def fold_module(module: nn.Module) -> Folded | None:
    """One layer in evaluation mode; None if that is the identity.

    Raises:
        InputError: if there is no bound for a layer of its type or with its options.
    """
    if isinstance(module, Layer):
        return module.fold()
    fold = FOLDS.get(layer_type(module))
    if fold is None:
        raise InputError(f"there is no bound for layers of this type. {KNOWN}")
    return fold(module)


def layer_type(module: nn.Module) -> type:
    """Its class; without what a parametrization, such as a norm ball, makes of it."""
    return parametrize.type_before_parametrizations(module)


def flattens(start: Any, end: Any) -> FoldedFlattening:
    """A flattening of all axes but the first, or an :class:`InputError`."""
    if (start, end) != (1, -1):
        raise InputError("only all features side by side have a bound: flatten from axis 1 to -1")
    return FoldedFlattening()


def _conv(conv: Any) -> FoldedConv | FoldedConv2d:
    bias = conv.weight.new_zeros(len(conv.weight)) if conv.bias is None else conv.bias
    return _at(conv.weight, bias, conv_geometry(conv))


def _periodic(conv: Any) -> FoldedConv | FoldedConv2d:
    n, bias = conv.weight.shape[-1], conv.weight.new_zeros(len(conv.weight))
    return _at(conv.weight, bias, Geometry((conv.stride,) * 2, (n // 2,) * 2, circular=True))


def _at(K: Any, b: Any, geometry: Geometry) -> FoldedConv | FoldedConv2d:
    """The paper's convolution if it is one."""
    K, b = K.detach().double(), b.detach().double()
    plain = geometry.circular and geometry.stride == (1, 1) and K.shape[-1] == K.shape[-2]
    return FoldedConv(K, b) if plain else FoldedConv2d(K, b, geometry)


def _linear(linear: Any) -> FoldedLinear:
    bias = linear.weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias
    return FoldedLinear(linear.weight.detach().double(), bias.detach().double())


def _bias(layer: Any) -> FoldedAffine:
    shift = layer.bias.detach().double()
    return FoldedAffine(torch.ones_like(shift), shift)


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else tuple(value)


def _windows(pool: Any) -> tuple[Pair, Pair, Pair]:
    if pool.ceil_mode:
        raise InputError("ceil_mode = True has no bound here: use ceil_mode = False")
    return _pair(pool.kernel_size), _pair(pool.stride), _pair(pool.padding)


def _mean_pooling(pool: Any) -> FoldedMeanPooling:
    window, stride, padding = _windows(pool)
    if pool.divisor_override is not None or (any(padding) and not pool.count_include_pad):
        raise InputError(
            "a mean over another number of pixels than the window has no bound here: use "
            "count_include_pad = True and no divisor_override"
        )
    return FoldedMeanPooling(window, stride, padding)


def _max_pooling(pool: Any) -> FoldedMaxPooling:
    if _pair(pool.dilation) != (1, 1) or pool.return_indices:
        raise InputError("use dilation = 1 and return_indices = False")
    return FoldedMaxPooling(*_windows(pool))


def _global_mean(pool: Any) -> FoldedMean:
    if pool.output_size not in (1, (1, 1), [1, 1]):
        raise InputError(f"a mean of each channel alone has a bound, {pool.output_size} has not")
    return FoldedMean()


FOLDS: dict[type, Callable[[Any], Folded | None]] = {
    PeriodicConv2d: _periodic,
    Bias: _bias,
    nn.Conv2d: _conv,
    nn.BatchNorm2d: lambda bn: FoldedAffine(*batch_norm_affine(bn)),
    nn.ReLU: lambda _: FoldedReLU(),
    nn.AvgPool2d: _mean_pooling,
    nn.MaxPool2d: _max_pooling,
    nn.AdaptiveAvgPool2d: _global_mean,
    nn.Flatten: lambda flatten: flattens(flatten.start_dim, flatten.end_dim),
    nn.Linear: _linear,
    nn.Identity: lambda _: None,
    nn.Dropout: lambda _: None,
    nn.Dropout2d: lambda _: None,
}
"""What folds a layer, by its type."""

KNOWN = (
    "Use Conv2d, BatchNorm2d, ReLU, AvgPool2d, MaxPool2d, AdaptiveAvgPool2d(1), Flatten or "
    "torch.flatten(x, 1), Linear, Dropout, sums x + f(x), or what forward_stability.layers has"
)
"""What an error message says of them."""
