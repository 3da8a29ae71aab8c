r"""The constrained flow that a deep residual network approximates, and the forward-backward scheme.

The flow is the differential inclusion (Eqs. 2, 4, 5)

.. math:: -x'(t) \in N(x(t)) + F(t, x(t)), \qquad
          F(t, x) = A_2(t)\,\sigma(A_1(t) x + b_1(t)) - b_2(t), \qquad x(0) \in \mathbb{R}^d_+,

with N the normal cone of the orthant. There are three variants: :class:`ResNetFlow` (any weights),
:class:`ResNetDFlow` (:math:`A_2 \ge 0`, Eq. 9) and :class:`ResNetSFlow` (:math:`A_2 = A_1^T`,
Eq. 11). A weight is a tensor (constant in time), a :class:`Piecewise` (one value a block of layers)
or a function of time (of which float32 values would carry rounding errors of 1e-7 into a
computation that is done in float64). Chapters 2 to 6.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.prox import forward_backward_step, relu

Function = Callable[[float], Any]
Weight: TypeAlias = "Tensor | Sequence[Any] | Piecewise | Function"


def _tensor(name: str, value: Any, nonnegative: bool = False) -> Tensor:
    """The value in float64, finite (and nonnegative where asked); its gradient is kept."""
    try:
        value = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must be a tensor of numbers, got {type(value)}") from error
    if not torch.isfinite(value).all():
        raise InputError(f"{name} must be finite, but has NaN or infinite entries")
    if nonnegative and (value < 0).any():
        raise InputError(
            f"{name} must have no negative entry, but its least is {value.min():.3g}; "
            "project with relu first"
        )
    return value


def check_time(name: str, t: float) -> float:
    """The time as a float; raises InputError if it is negative or not finite."""
    if not (math.isfinite(t) and t >= 0):
        raise InputError(f"{name} must be a finite time of at least 0, got {t}")
    return float(t)


class Piecewise:
    r"""A function of time that is constant between breakpoints, from the right continuous.

    With breakpoints :math:`t_1 < \dots < t_{K-1}`, its value is ``values[k]`` for
    :math:`t_k \le t < t_{k+1}`, where :math:`t_0 = 0` and :math:`t_K = \infty`.

    Args:
        values: shape ``(K, ...)``: K matrices or vectors, each perhaps with a batch axis.
        breakpoints: K − 1 positive times, increasing.

    Raises:
        InputError: if the numbers of values and breakpoints do not fit, or one is not usable.

    Source: the layers' weights in Eq. 1 as functions of depth. Chapter 2.
    """

    def __init__(self, values: Any, breakpoints: Sequence[float] = ()) -> None:
        self.values = _tensor("values", values)
        self.breakpoints = tuple(check_time("breakpoints", float(t)) for t in breakpoints)
        if any(a >= b for a, b in zip((0.0, *self.breakpoints), self.breakpoints, strict=False)):
            raise InputError(f"breakpoints must increase from above 0, got {self.breakpoints}")
        if self.values.ndim == 0 or len(self.values) != len(self.breakpoints) + 1:
            raise InputError(
                f"values must hold one value more than there are breakpoints "
                f"({len(self.breakpoints)}), got shape {tuple(self.values.shape)}"
            )

    def __call__(self, t: float) -> Tensor:
        """The value at time t ≥ 0."""
        return self.values[bisect_right(self.breakpoints, check_time("t", t))]


class ResNetFlow:
    r"""The flow of the original residual layer, Eq. 5, with any weights.

    Args:
        A1: :math:`A_1`, of shape ``(h, d)`` or ``(batch, h, d)`` at each time (h = d in the paper).
        A2: :math:`A_2`, of shape ``(d, h)`` or ``(batch, d, h)``.
        b1: :math:`b_1`, of shape ``(h,)`` or ``(batch, h)``.
        b2: :math:`b_2`, of shape ``(d,)`` or ``(batch, d)``.

    Raises:
        InputError: if a weight has a wrong shape or an entry that is not finite. For functions
            of time, at the time at which the function is evaluated.

    Source: Eqs. 2, 4-6. Chapters 2 to 4.
    """

    variant = "ResNet"

    def __init__(self, A1: Weight, A2: Weight, b1: Weight, b2: Weight) -> None:
        self._weights: dict[str, Piecewise | Function] = {}
        for name, weight in (("A1", A1), ("A2", A2), ("b1", b1), ("b2", b2)):
            if isinstance(weight, Piecewise):
                _tensor(name, weight.values, self._nonnegative(name))
                self._weights[name] = weight
            elif callable(weight):
                self._weights[name] = weight
            else:
                value = _tensor(name, weight, self._nonnegative(name))
                self._weights[name] = Piecewise(value.unsqueeze(0))
        self.piecewise = all(isinstance(weight, Piecewise) for weight in self._weights.values())
        if self.piecewise:
            self._check_shapes([weight(0.0) for weight in self._weights.values()])

    def _nonnegative(self, name: str) -> bool:
        return False

    def _check_shapes(self, weights: Sequence[Tensor]) -> None:
        A1, A2, b1, b2 = weights
        for name, weight, least in (("A1", A1, 2), ("A2", A2, 2), ("b1", b1, 1), ("b2", b2, 1)):
            if not least <= weight.ndim <= least + 1:
                raise InputError(
                    f"{name} must have {least} axes, or one more for a batch, "
                    f"got shape {tuple(weight.shape)}"
                )
        h, d = A1.shape[-2:]
        for name, weight, shape in (("A2", A2, (d, h)), ("b1", b1, (h,)), ("b2", b2, (d,))):
            if weight.shape[-len(shape) :] != shape:
                raise InputError(
                    f"{name} must have shape {shape} (or a batch of these) to fit A1 of shape "
                    f"{tuple(A1.shape)}, got {tuple(weight.shape)}"
                )

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """The times at which some piecewise constant weight jumps, increasing."""
        times = {
            t for w in self._weights.values() if isinstance(w, Piecewise) for t in w.breakpoints
        }
        return tuple(sorted(times))

    def weights(self, t: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A1, A2, b1, b2 at time t ≥ 0, in float64.

        Raises:
            InputError: if t is negative, or a function of time returns an unusable weight.
        """
        t = check_time("t", t)
        values = [
            weight(t)
            if isinstance(weight, Piecewise)
            else _tensor(f"{name}({t:g})", weight(t), self._nonnegative(name))
            for name, weight in self._weights.items()
        ]
        if not self.piecewise:
            self._check_shapes(values)
        A1, A2, b1, b2 = values
        return A1, A2, b1, b2

    def force(self, t: float, x: Tensor) -> Tensor:
        r"""F(t, x) = A2 σ(A1 x + b1) − b2; the flow moves along −F where the obstacle allows.

        Args:
            t: the time, t ≥ 0.
            x: the features, shape ``(d,)`` or ``(batch, d)``.

        Returns:
            shape ``(d,)`` or ``(batch, d)``.

        Raises:
            InputError: if t is negative or x has the wrong length.

        Source: the display after Eq. 4 (the sentence after Eq. 2 prints + b2, and Sect. 2.3 a
        minus sign before A2: both are slips). Chapter 2.
        """
        A1, A2, b1, b2 = self.weights(t)
        if x.shape[-1:] != A1.shape[-1:]:
            raise InputError(f"x must have length {A1.shape[-1]}, got shape {tuple(x.shape)}")
        inner = relu((A1 @ x.unsqueeze(-1)).squeeze(-1) + b1)
        return (A2 @ inner.unsqueeze(-1)).squeeze(-1) - b2


class ResNetDFlow(ResNetFlow):
    r"""The flow of ResNet-D, Eq. 9: as :class:`ResNetFlow`, with every entry of A2 nonnegative.

    Raises:
        InputError: also if A2 has a negative entry.

    Source: Eq. 9, Theorem 3. Chapter 5.
    """

    variant = "ResNet-D"

    def _nonnegative(self, name: str) -> bool:
        return name == "A2"


class ResNetSFlow(ResNetFlow):
    r"""The flow of ResNet-S, Eq. 11: :math:`F(t, x) = A^T \sigma(A x + b_1) - b_2`.

    Args:
        A: shape ``(h, d)`` or ``(batch, h, d)`` at each time; A1 = A and A2 = Aᵀ are made from it.
        b1: shape ``(h,)`` or ``(batch, h)``.
        b2: shape ``(d,)`` or ``(batch, d)``.

    Raises:
        InputError: as for :class:`ResNetFlow`.

    Source: Eq. 11, Theorem 4. Chapter 6.
    """

    variant = "ResNet-S"

    def __init__(self, A: Weight, b1: Weight, b2: Weight) -> None:
        if not isinstance(A, Piecewise) and callable(A):
            function = A
            super().__init__(function, lambda t: _tensor(f"A({t:g})", function(t)).mT, b1, b2)
            return
        if not isinstance(A, Piecewise):
            A = Piecewise(_tensor("A", A).unsqueeze(0))
        if A.values.ndim < 3:
            raise InputError(f"A must be a matrix at each time, got {tuple(A.values.shape[1:])}")
        super().__init__(A, Piecewise(A.values.mT, A.breakpoints), b1, b2)


def time_grid(horizon: float, steps: int) -> Tensor:
    """The times 0, τ, 2τ, ..., horizon with τ = horizon / steps, shape ``(steps + 1,)``.

    Raises:
        InputError: if the horizon or the number of steps is not positive.
    """
    if not check_time("horizon", horizon) > 0:
        raise InputError("horizon must be positive")
    if steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
    # unlike linspace exact in the middle, where weights may jump
    return horizon * (torch.arange(steps + 1, dtype=torch.float64) / steps)


def check_start(x0: Any) -> Tensor:
    """The starting point in float64; raises InputError if it is not in the orthant."""
    x0 = _tensor("x0", x0)
    if x0.ndim not in (1, 2):
        raise InputError(f"x0 must have shape (d,) or (batch, d), got {tuple(x0.shape)}")
    if (x0 < 0).any():
        raise InputError(
            f"x0 must lie in the orthant (no negative entry), but its least entry is "
            f"{x0.min():.3g}; start from relu(x0)"
        )
    return x0


def check_times(times: Any) -> Tensor:
    """The time grid in float64; raises InputError unless it is nonnegative and increasing."""
    times = _tensor("times", times)
    if times.ndim != 1 or len(times) < 2:
        raise InputError(f"times must list at least two times, got shape {tuple(times.shape)}")
    if times[0] < 0:
        raise InputError(f"times must not be negative, but the first is {times[0]:g}")
    if not (times.diff() > 0).all():
        raise InputError("times must increase strictly")
    return times


def forward_backward(flow: ResNetFlow, x0: Any, times: Any) -> Tensor:
    r"""The residual network of Eq. 1 as a discretisation of the flow, one layer a step.

    .. math:: x^{n+1} = \sigma\bigl(x^n - \tau_n F(t_n, x^n)\bigr), \qquad \tau_n = t_{n+1} - t_n.

    Each layer satisfies the inclusion with its normal cone taken at the new point:
    :math:`(x^n - x^{n+1})/\tau_n - F(t_n, x^n) \in N(x^{n+1})`. The error at a fixed horizon is
    O(τ). Put a layer's boundary on each breakpoint of piecewise constant weights.

    Args:
        flow: the weights and biases.
        x0: the start, shape ``(d,)`` or ``(batch, d)``, in the orthant.
        times: the times :math:`t_0 < t_1 < \dots`, shape ``(N + 1,)``, see :func:`time_grid`.

    Returns:
        the features at these times, shape ``(N + 1, d)`` or ``(N + 1, batch, d)``; differentiable
        with respect to the start and the weights.

    Raises:
        InputError: if x0 is outside the orthant, times are negative or do not increase, or the
            shapes do not fit.

    Source: Eq. 1. Chapters 2 and 3.
    """
    x, times = check_start(x0), check_times(times)
    path = [x]
    for t, s in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        x = forward_backward_step(x, lambda point, t=t: flow.force(t, point), s - t)
        path.append(x)
    return torch.stack(path)
