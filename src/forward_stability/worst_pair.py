r"""The search for the inputs that a network pulls furthest apart.

A bound of the Lipschitz constant is an upper bound of

.. math:: \frac{\|f(x) - f(y)\|}{\|x - y\|} \quad\text{over all pairs } x \ne y.

Every pair is a lower bound of it. How close the two come says how tight the bound is. Chapters 9,
10 and 11.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from forward_stability.errors import InputError

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pair:
    """The best pair found and its ratio ‖f(x) − f(y)‖/‖x − y‖; x and y have the shape of an input.

    ``ratios`` are the ratios of all restarts, largest first.
    """

    x: Tensor
    y: Tensor
    ratio: float
    ratios: Tensor


def stretch(f: Function, x: Tensor, y: Tensor) -> Tensor:
    """‖f(x) − f(y)‖/‖x − y‖ for each pair of a batch, shape ``(batch,)``."""
    return (f(x) - f(y)).flatten(1).norm(dim=1) / (x - y).flatten(1).norm(dim=1)


def local_norm(f: Function, x: Tensor, steps: int = 30, seed: int = 0) -> tuple[Tensor, Tensor]:
    r"""The norm of the Jacobian at each x, by power iteration on :math:`J^T J`: from below.

    Args:
        f: maps a batch, each input by itself.
        x: float64, shape ``(batch, ...)``.
        steps: of the power iteration.
        seed: of its start.

    Returns:
        the norms, shape ``(batch,)``, and the directions, of the shape of x and norm 1.

    Source: chapter 9.
    """
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
    v = _normalised(v)
    size = torch.zeros(len(x), dtype=x.dtype)
    x = x.detach().requires_grad_()
    y = f(x)
    u = torch.zeros_like(y, requires_grad=True)
    # Jᵀu is linear in u, and its derivative in the direction v is J v.
    (Jtu,) = torch.autograd.grad(y, x, u, create_graph=True)
    for _ in range(steps):
        (Jv,) = torch.autograd.grad(Jtu, u, v, retain_graph=True)
        size = Jv.flatten(1).norm(dim=1)
        (w,) = torch.autograd.grad(y, x, Jv, retain_graph=True)
        # Where the Jacobian vanishes, keep the direction.
        v = torch.where(_broadcast(w.flatten(1).norm(dim=1), x) > 0, _normalised(w), v)
    return size, v


def find_worst_pair(
    f: Function,
    start: Tensor,
    steps: int = 200,
    rate: float = 0.05,
    box: tuple[float, float] | None = None,
    seed: int = 0,
) -> Pair:
    r"""Ascend the ratio over both inputs at once (global), from the steepest local directions.

    Each start x gets the partner x + v with v the top singular vector of the Jacobian at x (as
    long as x, up to a random factor); then Adam ascends log‖f(x) − f(y)‖ − log‖x − y‖.

    Args:
        f: maps a batch, each input by itself; in float64.
        start: the starts, one a restart, shape ``(restarts, ...)``.
        steps: of the ascent.
        rate: its step, relative to the root mean square of the starts.
        box: keep the inputs within these values, such as (0, 1) for images.
        seed: of the random factors and directions.

    Returns:
        the best pair met anywhere on the way.

    Raises:
        InputError: if the start is not a float64 batch of finite, nonzero inputs.

    Source: chapters 9 and 10.
    """
    if start.dtype != torch.float64 or not bool(torch.isfinite(start).all()):
        raise InputError("find_worst_pair needs finite float64 starts, one a restart")
    scale = float(start.square().mean().sqrt())
    if scale == 0:
        raise InputError("find_worst_pair needs starts that are not all zero")
    generator = torch.Generator().manual_seed(seed)
    _, v = local_norm(f, start, seed=seed)
    lengths = start.flatten(1).norm(dim=1) * 10 ** -(
        3 * torch.rand(len(start), generator=generator, dtype=start.dtype)
    )
    x = start.clone().requires_grad_()
    y = (start + v * _broadcast(lengths, v)).requires_grad_()
    optimiser = torch.optim.Adam([x, y], lr=rate * scale)
    best = torch.zeros(len(start), dtype=start.dtype)
    best_x, best_y = x.detach().clone(), y.detach().clone()
    for _ in range(steps + 1):
        if box is not None:
            with torch.no_grad():
                x.clamp_(*box)
                y.clamp_(*box)
        ratios = stretch(f, x, y)
        with torch.no_grad():
            better = torch.nan_to_num(ratios) > best
            best = torch.where(better, ratios, best)
            mask = _broadcast(better, x)
            best_x, best_y = torch.where(mask, x, best_x), torch.where(mask, y, best_y)
        optimiser.zero_grad()
        # A pair that has run together, or has equal outputs, has no direction to go.
        (-ratios[ratios > 0].log().sum()).backward()
        for z in (x, y):
            if z.grad is not None:
                z.grad.nan_to_num_()
        optimiser.step()
    k = int(best.argmax())
    return Pair(best_x[k], best_y[k], float(best[k]), best.sort(descending=True).values)


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    """One value for each of a batch, shaped to multiply it."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _normalised(v: Tensor) -> Tensor:
    return v / _broadcast(v.flatten(1).norm(dim=1).clamp_min(1e-300), v)
