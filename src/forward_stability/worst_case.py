r"""Trying to break the five bounds: random networks, and gradient ascent through the flow.

An :class:`Instance` is a batch of networks with piecewise constant weights and one or two starts
each. Its :func:`ratio` divides the left-hand side of a bound at the horizon by its right-hand side;
a value above 1 beyond the solver's error would refute the theorem. :func:`search` climbs that ratio
by gradient ascent over weights, biases and starts, and returns to the hypotheses after each step:

- every matrix is scaled to spectral norm ``norm`` (with A = 0 equality would be trivial), for
  ResNet-D after setting the negative entries of A2 to zero;
- starts are set to their nearest point of the orthant; x(0) is scaled to length 1, as the flow is
  positively homogeneous in (x(0), b1, b2).

The ratio itself is never clipped. Forward-backward steps are short enough for ``τ‖A‖² ≤ 2``; then
the scheme satisfies all five bounds exactly, so a search through it can only lose O(τ) against the
flow, and :func:`reference_ratio` measures what it found by the independent solution. Chapters 4-6.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.flow import (
    Piecewise,
    ResNetDFlow,
    ResNetFlow,
    ResNetSFlow,
    forward_backward,
    time_grid,
)
from forward_stability.growth import EQUATIONS, bound
from forward_stability.prox import relu
from forward_stability.reference import slow_solution

HORIZON = 1.0
"""The ratio is taken at this time; the pieces of the weights are equally long."""


class Instance(NamedTuple):
    """A batch of networks with K pieces in dimension d, and their starts.

    A1 and A2 have shape ``(K, batch, d, d)``, b1 and b2 ``(K, batch, d)``, x0 and y0
    ``(batch, d)``. ResNet-S ignores A2, and Eqs. 7, 10 and 12 ignore y0.
    """

    A1: Tensor
    A2: Tensor
    b1: Tensor
    b2: Tensor
    x0: Tensor
    y0: Tensor

    def take(self, index: int) -> "Instance":
        """One network of the batch, without a batch axis."""
        return Instance(*(w[:, index] for w in self[:4]), *(x[index] for x in self[4:]))


def build(equation: int, instance: Instance) -> ResNetFlow:
    """The flow of the variant that the bound is about."""
    pieces = len(instance.A1)
    breakpoints = [HORIZON * k / pieces for k in range(1, pieces)]
    A1, A2, b1, b2 = (Piecewise(w, breakpoints) for w in instance[:4])
    kind = EQUATIONS[equation]
    if kind is ResNetSFlow:
        return ResNetSFlow(A1, b1, b2)
    return kind(A1, A2, b1, b2)


def random_instance(
    equation: int,
    batch: int,
    d: int,
    generator: torch.Generator,
    pieces: int = 2,
    norm: float | None = 1.0,
) -> Instance:
    """Networks and starts drawn at random, on the hypotheses of the bound.

    Args:
        equation: 7, 8, 10, 12 or 13.
        batch: how many.
        d: the dimension.
        generator: the source of randomness.
        pieces: pieces of the weights in time.
        norm: the spectral norm of every matrix; None draws it between 0 and 2, one a matrix.

    Raises:
        InputError: if there is no such bound.

    Source: the hypotheses of Theorems 1 to 4. Chapters 4 to 6.
    """
    if equation not in EQUATIONS:
        raise InputError(f"equation must be one of {sorted(EQUATIONS)}, got {equation}")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    A1, A2 = normal(2, pieces, batch, d, d)
    b1, b2 = normal(2, pieces, batch, d)
    x0, y0 = normal(2, batch, d).abs()
    instance = project(equation, Instance(A1, A2, b1, b2, x0, y0), 1.0 if norm is None else norm)
    if norm is not None:
        return instance
    sizes = 2 * torch.rand(2, pieces, batch, 1, 1, generator=generator, dtype=torch.float64)
    return instance._replace(A1=sizes[0] * instance.A1, A2=sizes[1] * instance.A2)


def project(equation: int, instance: Instance, norm: float) -> Instance:
    """Return to the hypotheses: norms of the matrices, A2 ≥ 0 for ResNet-D, starts ≥ 0.

    A matrix or start of which nothing is left becomes the one with equal positive entries.
    """

    def scaled(A: Tensor) -> Tensor:
        size = torch.linalg.matrix_norm(A, ord=2)[..., None, None]
        return norm * torch.where(size > 1e-9, A / size.clamp_min(1e-9), 1 / A.shape[-1])

    x0 = relu(instance.x0)
    size = x0.norm(dim=-1, keepdim=True)
    x0 = torch.where(size > 1e-9, x0 / size.clamp_min(1e-9), x0.shape[-1] ** -0.5)
    A2 = relu(instance.A2) if EQUATIONS[equation] is ResNetDFlow else instance.A2
    return instance._replace(A1=scaled(instance.A1), A2=scaled(A2), x0=x0, y0=relu(instance.y0))


def _ends(equation: int, x: Tensor, y: Tensor) -> Tensor:
    """What the bound is about: ‖x‖ or ‖x − y‖."""
    return (x - y if equation in (8, 13) else x).norm(dim=-1)


def ratio(equation: int, instance: Instance, steps: int) -> Tensor:
    """Left-hand side over right-hand side at the horizon, by the forward-backward scheme.

    Args:
        equation: 7, 8, 10, 12 or 13.
        instance: the networks.
        steps: layers; a multiple of the number of pieces, so that jumps lie between layers.

    Returns:
        shape ``(batch,)``, differentiable.

    Raises:
        InputError: if the steps do not divide into the pieces, or a layer is too long.

    Source: Eqs. 7, 8, 10, 12, 13. Chapters 4 to 6.
    """
    if steps % len(instance.A1):
        raise InputError(f"steps must be a multiple of the {len(instance.A1)} pieces, got {steps}")
    flow, times = build(equation, instance), time_grid(HORIZON, steps)
    if equation in (12, 13):
        largest = torch.linalg.matrix_norm(instance.A1.detach(), ord=2).max().item()
        if HORIZON / steps * largest**2 > 2:
            raise InputError(f"steps must be at least {HORIZON * largest**2 / 2:.0f} for τ‖A‖² ≤ 2")
    x = forward_backward(flow, instance.x0, times)[-1]
    y = forward_backward(flow, instance.y0, times)[-1] if equation in (8, 13) else x
    start = _ends(equation, instance.x0, instance.y0)
    return _ends(equation, x, y) / _unit_bound(flow, equation, start)


def _unit_bound(flow: ResNetFlow, equation: int, start: Tensor) -> Tensor:
    """The right-hand side at the horizon, differentiable also in the start."""
    ends = [0.0, HORIZON]
    if equation in (8, 13):
        return start * bound(flow, equation, 1.0, ends).values[-1]
    return bound(flow, equation, start, ends).values[-1]


def reference_ratio(equation: int, instance: Instance) -> float:
    """As :func:`ratio`, for one network (see ``Instance.take``), by the independent solution."""
    flow, ends = build(equation, instance), [0.0, HORIZON]
    paths = [
        torch.from_numpy(slow_solution(flow, start, ends).path[-1])
        for start in ((instance.x0, instance.y0) if equation in (8, 13) else (instance.x0,) * 2)
    ]
    start = _ends(equation, instance.x0, instance.y0)
    return (_ends(equation, *paths) / _unit_bound(flow, equation, start)).item()


def search(
    equation: int,
    d: int,
    restarts: int,
    iterations: int,
    seed: int,
    pieces: int = 2,
    norm: float = 1.0,
    steps: int = 32,
    rate: float = 0.05,
) -> tuple[Instance, Tensor]:
    """Projected gradient ascent (Adam) on the ratio, all restarts side by side.

    Args:
        equation: 7, 8, 10, 12 or 13.
        d: the dimension.
        restarts: random starts of the search.
        iterations: steps of the ascent.
        seed: of the random starts.
        pieces, norm: see :func:`random_instance`.
        steps: layers of the scheme that is differentiated.
        rate: Adam's learning rate.

    Returns:
        the best instance seen by each restart, and its ratio by the scheme, shape ``(restarts,)``.

    Raises:
        InputError: if the equation, the steps or the norm do not fit.

    Source: the hypotheses of Theorems 1 to 4. Chapters 4 to 6.
    """
    generator = torch.Generator().manual_seed(seed)
    instance = random_instance(equation, restarts, d, generator, pieces, norm)
    points = [w.clone().requires_grad_() for w in instance]
    ascent = torch.optim.Adam(points, lr=rate, maximize=True)
    best, height = instance, torch.full((restarts,), -torch.inf, dtype=torch.float64)
    for _ in range(iterations + 1):
        current = Instance(*points)
        value = ratio(equation, current, steps)
        better = value.detach() > height
        height = torch.where(better, value.detach(), height)
        best = Instance(
            *(
                torch.where(better.reshape(-1, *(1,) * (new.ndim - old_axes)), new.detach(), old)
                for new, old, old_axes in zip(current, best, (2, 2, 2, 2, 1, 1), strict=True)
            )
        )
        ascent.zero_grad()
        value.sum().backward()
        for point in points:  # where all features are zero, the ratio has no gradient
            if point.grad is not None:
                point.grad.nan_to_num_(0.0, 0.0, 0.0)
        ascent.step()
        ascent.param_groups[0]["lr"] *= 0.01 ** (1 / iterations)
        with torch.no_grad():
            for point, inside in zip(
                points, project(equation, Instance(*points), norm), strict=True
            ):
                point.copy_(inside)
    return best, height
