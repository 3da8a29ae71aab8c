r"""What Theorems 5 and 6 say about a given network, as numbers.

Layer by layer: the norms that enter, whether the hypotheses hold, and constants a, c with

.. math:: \|x^N - y^N\| \le a \|x^0 - y^0\|, \qquad \|x^N\| \le g \|x^0\| + c,

as printed, as corrected, and sharper ones that hold for every network. Proven constants are
enlarged to cover the rounding of their computation in float64. They are about the network in exact
arithmetic. Chapters 9, 10 and 11.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, prod, sqrt

import torch
from torch import Tensor, nn

from forward_stability.errors import InputError
from forward_stability.folding import (
    FoldedConv,
    FoldedLinear,
    FoldedPooling,
    FoldedUnshuffling,
    features,
    input_channels,
    input_sizes,
    with_error,
)
from forward_stability.graph import fold
from forward_stability.layer import Folded, Size, WeightedBound, euclidean
from forward_stability.metrics import chain as chain_of
from forward_stability.models import Network
from forward_stability.report import ROUNDING, Constants, LayerReport, Report
from forward_stability.torch_layers import layer_type

TOO_LARGE = "the weights are so large that a constant is beyond float64 (1.8e308)"


def certify(
    module: nn.Module, size: Size, multipliers: bool = False, chained: bool = False
) -> Report:
    r"""The report of a network in evaluation mode for images of one size.

    Constants of layers multiply, those of the branches of a sum f(x) + g(x) add:

    .. math:: \mathrm{Lip}(g \circ f) \le \mathrm{Lip}(g)\,\mathrm{Lip}(f), \qquad
              \mathrm{Lip}(f + g) \le \mathrm{Lip}(f) + \mathrm{Lip}(g).

    Args:
        module: ResNet-D, ResNet-S, the original ResNet, or any module that
            :func:`~forward_stability.graph.fold` takes. No theorem of the paper is about other
            layers than its own; the constants "sharpened" and "best" are proven for all.
        size: the height and width of the images.
        multipliers: whether "best" also takes the inequality of
            :mod:`~forward_stability.multipliers`, which takes seconds a residual layer.
        chained: whether "best" also takes the weights of :mod:`~forward_stability.metrics`, which
            are handed on from layer to layer; it takes minutes for a network of the paper.

    Raises:
        InputError: if something in the module has no bound or is not finite, a constant is beyond
            float64, or the size does not fit it.

    Source: Theorems 5 and 6, Remark 2. Chapters 9 to 11 and 15.
    """
    name = module.name if isinstance(module, Network) else layer_type(module).__name__
    return certify_layers(fold(module), size, name, multipliers=multipliers, chained=chained)


@torch.no_grad()
def certify_layers(
    layers: Sequence[Folded],
    size: Size,
    name: str = "",
    channels: int | None = None,
    multipliers: bool = False,
    chained: bool = False,
) -> Report:
    """The report of a list of folded layers; see :func:`certify`.

    Args:
        layers: as :func:`~forward_stability.graph.fold` returns them.
        size: the height and width of the images.
        name: what the report calls the network.
        channels: of the images; by default as many as the first layer with a filter takes.
        multipliers, chained: as for :func:`certify`.

    Raises:
        InputError: if no layer has a filter, a constant is beyond float64, or the size does not
            fit the layers.
    """
    if min(size) < 1:
        raise InputError(f"the size of the images must be positive, got {size[0]}x{size[1]}")
    channels = channels or input_channels(layers, size)
    if channels is None:
        raise InputError("no layer has a filter, which would tell the number of channels: add one")
    theorem = _theorem(layers)
    reports, carried = _layer_by_layer(layers, size, theorem, multipliers)
    holds = bool(theorem) and all(c.holds for r in reports for c in r.checks)
    enlarge = _enlarged(len(layers))
    constants = _of_the_theorem(reports, theorem, enlarge) if theorem else []
    gain, offset = 1.0, 0.0
    for r in reports:
        gain, offset = r.gain * gain, r.gain * offset + r.offset
    constants.append(
        Constants(
            name="sharpened",
            a=prod(r.lipschitz for r in reports) * enlarge,
            a_proven=True,
            g=gain * enlarge,
            c=offset * enlarge,
            c_proven=True,
            note="true norms, |P2| = 1/2, |Pg| = 1/√(hw); for every network",
        )
    )
    zero = torch.zeros(1, channels, *size, dtype=torch.float64)
    try:
        output, error = with_error(layers, zero, [r.best for r in reports])
    except RuntimeError as error:  # PyTorch's, of shapes that do not fit
        raise InputError(
            f"images of {channels}x{size[0]}x{size[1]} do not fit the network: {error}"
        ) from error
    best = carried[-1] if carried else enlarge
    if chained:
        best = min(best, _chained(layers, zero, [r.best for r in reports]) * enlarge)
    constants.append(
        Constants(
            name="best",
            a=best,
            a_proven=True,
            g=best,
            c=float(output.norm() + error) * enlarge,
            c_proven=True,
            note="layers in their best norms, c = |f(0)|; for every network",
        )
    )
    if not all(isfinite(value) for c in constants for value in (c.a, c.g, c.c)):
        raise InputError(f"the product of all layers: {TOO_LARGE}")
    return Report(name, theorem, size, holds, reports, constants)


@torch.no_grad()
def best_constants(layers: Sequence[Folded], size: Size) -> list[float]:
    """The constant "best" of the first layer, of the first two and so on, for images of one size.

    Each is that of :func:`certify_layers`, whose norms are computed once here.

    Raises:
        InputError: if a constant is beyond float64.
    """
    constants = _layer_by_layer(layers, size, "", False)[1]
    if not all(map(isfinite, constants)):
        raise InputError(f"the product of all layers: {TOO_LARGE}")
    return constants


def _layer_by_layer(
    layers: Sequence[Folded], size: Size, theorem: str, multipliers: bool
) -> tuple[list[LayerReport], list[float]]:
    """The report of each layer, and the best constant of all up to it."""
    reports, constants = [], []
    chain = [euclidean(1.0)]
    for index, (layer, entry) in enumerate(zip(layers, input_sizes(layers, size), strict=True)):
        try:
            report, bounds = layer.bounds(entry, theorem)
        except OverflowError:
            raise InputError(f"layer {index}: {TOO_LARGE}") from None
        constant = layer.sharper(entry) if multipliers else None
        if constant is not None and constant < report.best:
            gain = min(report.gain, constant)
            report = replace(report, best=constant, gain=gain)
            bounds = [euclidean(constant), *bounds[1:]]
        reports.append(replace(report, index=index))
        chain = _extend(chain, bounds)
        best = min(bound.constant / float(bound.v.min()) for bound in chain)
        constants.append(best * _enlarged(index + 1))
    return reports, constants


def _enlarged(layers: int) -> float:
    """A factor for what the hypotheses of so many layers may miss, and rounding."""
    return 1 + 10 * ROUNDING * layers


def _theorem(layers: Sequence[Folded]) -> str:
    """The theorem that speaks of all layers; "" if there is none."""
    theorems = {layer.theorem for layer in layers} - {None}
    return theorems.pop() or "" if len(theorems) == 1 else "" if theorems else "Theorem 5"


def _chained(layers: Sequence[Folded], x: Tensor, constants: Sequence[float]) -> float:
    """The constant of all layers, those that follow one another as links taken together."""
    product, links, own = 1.0, [], 1.0

    def together() -> float:
        return min(own, chain_of(links).constant) if len(links) > 1 else own

    inputs = features(layers, x)[:-1]
    for layer, x, constant in zip(layers, inputs, constants, strict=True):
        size = (x.shape[2], x.shape[3]) if x.dim() == 4 else (1, 1)
        link = layer.link(size, x.shape[1])
        if link is None:
            product, links, own = product * together() * constant, [], 1.0
        else:
            links, own = [*links, link], own * constant
    return product * together()


def _extend(chain: Sequence[WeightedBound], layer: Sequence[WeightedBound]) -> list[WeightedBound]:
    """Bounds of ‖v(x^n − y^n)‖ by ‖x^0 − y^0‖ in several norms, carried through one more layer.

    Changing from the weights w to u costs the largest u/w.
    """
    return [
        replace(
            new,
            constant=min(old.constant * float((new.u / old.v).max()) for old in chain)
            * new.constant,
        )
        for new in layer
    ]


def _of_the_theorem(layers: Sequence[LayerReport], theorem: str, enlarge: float) -> list[Constants]:
    """The constants of Theorem 5 or 6, as printed and as corrected."""
    residual = [r for r in layers if r.kind.startswith("residual")]
    affine = (FoldedConv.kind, FoldedUnshuffling.kind, FoldedLinear.kind)
    ends = [r for r in layers if r.kind in affine]
    pools = prod(1 + r.norms["A"] for r in layers if r.kind == FoldedPooling.kind)
    holds = all(c.holds for r in layers for c in r.checks)
    outer = sum(r.biases["b"] for r in ends)
    if theorem == "Theorem 6":
        c = outer + sum(sqrt(2) * r.biases["b1"] + r.biases["b2"] for r in residual)
        # With D1 and D2, the factor of b1 is ‖D2 Aᵀ‖, which the hypotheses do not bound.
        plain = all(r.norms["D2 Aᵀ"] <= sqrt(2) * (1 + ROUNDING) for r in residual)
        printed = Constants(
            name="printed",
            a=pools * enlarge,
            a_proven=holds,
            g=enlarge,
            c=c * enlarge,
            c_proven=holds and plain,
            note="Eqs. 57 and 55; the sum in Eq. 55 is over residual layers",
        )
        true = (outer + sum(r.offset for r in residual)) * enlarge
        note = "c with |σ(b2 − D2 Aᵀσ(b1))| of each residual layer"
        return [printed, replace(printed, name="corrected", c=true, c_proven=holds, note=note)]
    product = prod(1 + r.norms["A1"] * r.norms["A2"] for r in residual)
    every = sum(sum(r.biases.values()) for r in layers)
    inner = outer + sum(r.biases["b2"] for r in residual)
    return [
        Constants(
            name="printed",
            a=product * enlarge,
            a_proven=False,
            g=enlarge,
            c=every * enlarge,
            c_proven=holds,
            note="Eqs. 51 and 45; 51 leaves out the pooling layers",
        ),
        Constants(
            name="corrected",
            a=product * pools * enlarge,
            a_proven=all(c.holds for r in ends for c in r.checks),
            g=enlarge,
            c=inner * enlarge,
            c_proven=holds,
            note="with 1 + ‖A‖ for each pooling layer; without b1",
        ),
    ]
