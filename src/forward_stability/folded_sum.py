r"""The sum of two branches, x ↦ f(x) + g(x), each a list of layers; an empty one is x ↦ x.

A residual layer that we did not write is such a sum. Chapter 15.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import ClassVar

from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.folding import (
    Bounds,
    forward,
    input_channels,
    input_sizes,
    output_size,
    with_error,
)
from forward_stability.layer import Folded, Size, euclidean
from forward_stability.report import LayerReport
from forward_stability.rounding import gamma

Branch = tuple[Folded, ...]
Reports = list[LayerReport]


@dataclass(frozen=True)
class FoldedSum(Folded):
    """x ↦ f(x) + g(x). Lipschitz constants, gains and offsets of the branches add."""

    kind: ClassVar[str] = "sum"
    theorem: ClassVar[str | None] = ""
    resamples: ClassVar[bool] = True
    branches: tuple[Branch, Branch]

    def __call__(self, x: Tensor) -> Tensor:
        return _sum(*(forward(branch, x) for branch in self.branches))

    def channels(self, size: Size) -> int | None:
        known = (input_channels(branch, size) for branch in self.branches)
        return next((channels for channels in known if channels is not None), None)

    def output_size(self, size: Size) -> Size:
        one, other = (output_size(branch, size) for branch in self.branches)
        if one != other:
            raise InputError(
                f"a sum of features of {one[0]}x{one[1]} and of {other[0]}x{other[1]} pixels: "
                "make them equal, by the stride of a convolution"
            )
        return one

    @cached_property
    def _known(self) -> dict[Size, tuple[Reports, Reports]]:
        return {}

    def reports(self, size: Size) -> tuple[Reports, Reports]:
        """What is proven of the layers of both branches; computed once for each size."""
        if size not in self._known:
            one, other = (
                [f.bounds(n, "")[0] for f, n in zip(b, input_sizes(b, size), strict=True)]
                for b in self.branches
            )
            self._known[size] = one, other
        return self._known[size]

    def bounds(self, size: Size, theorem: str) -> Bounds:
        reports = self.reports(size)
        self.output_size(size)
        inner = [r for branch in reports for r in branch]
        enlarge = 1 + gamma(4 * len(inner) + 16)
        gain, offset = 0.0, 0.0
        for branch in reports:
            g, c = _growth(branch)
            gain, offset = gain + g, offset + c
        norms, biases, bounds = {}, {}, []
        for number, r in enumerate(inner, 1):
            norms |= {f"{name}.{number}": norm for name, norm in r.norms.items()}
            biases |= {f"{name}.{number}": norm for name, norm in r.biases.items()}
            bounds += [f"{name}.{number}" for name in r.bounds]
        best = sum(prod(r.best for r in branch) for branch in reports) * enlarge
        report = LayerReport(
            kind=self.kind,
            size=size,
            lipschitz=sum(prod(r.lipschitz for r in branch) for branch in reports) * enlarge,
            best=best,
            gain=gain * enlarge,
            offset=offset * enlarge,
            norms=norms,
            bounds=tuple(bounds),
            biases=biases,
        )
        return report, [euclidean(best)]

    def error(self, x: Tensor) -> Tensor:
        """The bound of the norm, which each entry has."""
        output = self(x)
        return self.error_norm(x).reshape(-1, *[1] * (output.dim() - 1)).expand_as(output)

    def error_norm(self, x: Tensor) -> Tensor:
        """The errors of both branches, carried through them, and that of the sum."""
        size = (x.shape[-2], x.shape[-1]) if x.dim() == 4 else (1, 1)
        (y, e), (z, f) = (
            with_error(branch, x, [r.best for r in reports])
            for branch, reports in zip(self.branches, self.reports(size), strict=True)
        )
        total = _sum(y, z).flatten(1)
        return (e + f + gamma(2) * total.norm(dim=1)) * (1 + gamma(total.shape[1] + 8))


def _sum(y: Tensor, z: Tensor) -> Tensor:
    """The sum of features of one shape: a channel that is added to many would count often."""
    if y.shape != z.shape:
        raise InputError(
            f"a sum of features of the shapes {tuple(y.shape[1:])} and {tuple(z.shape[1:])}: "
            "only equal shapes have a bound here"
        )
    return y + z


def _growth(reports: Sequence[LayerReport]) -> tuple[float, float]:
    """‖f(x)‖ ≤ gain ‖x‖ + offset for a chain of layers."""
    gain, offset = 1.0, 0.0
    for r in reports:
        gain, offset = r.gain * gain, r.gain * offset + r.offset
    return gain, offset
