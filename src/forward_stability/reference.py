r"""A second, independent solution of the flow, against which the scheme is measured.

The solution of :math:`-x' \in N(x) + F(t, x)` is *slow*: its velocity is the element of
:math:`-F - N(x)` of least norm, that is the projection of −F on the tangent cone,

.. math:: x_i' = 0 \text{ if } x_i = 0 \text{ and } -F_i \le 0, \quad x_i' = -F_i \text{ else.}

Between two changes of the set of held entries this is an ordinary differential equation. It is
integrated by an eighth-order Runge-Kutta method with step control; the instants at which an entry
touches zero or is released are found as roots. No projection, no ReLU of the state and no code of
:mod:`forward_stability.flow` but its weights is used. Chapter 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from forward_stability.errors import InputError
from forward_stability.flow import ResNetFlow, check_start, check_times

Array = np.ndarray

PULL = 1e-13
"""A held entry is released when −F_i exceeds this: where −F_i rests at zero, so does the entry."""

STEPS = 20
"""At least so many steps over the horizon, so that the interpolant in which contacts are found is
as accurate as the steps, and no contact and release pass unseen within one step."""


class Event(NamedTuple):
    """An entry of x touched zero (``kind`` "contact") or was released ("release")."""

    time: float
    entry: int
    kind: str


class Reference(NamedTuple):
    """The path at the times asked for, shape ``(len(times), d)``, and what happened on the way."""

    path: Array
    events: list[Event]


def _velocity(flow: ResNetFlow, start: float, end: float) -> Callable[[float, Array], Array]:
    """−F(t, x) in NumPy on an interval without a breakpoint inside."""
    last = float(np.nextafter(end, start))  # weights are those before a jump at the end

    def weights(t: float) -> list[Array]:
        return [weight.detach().numpy() for weight in flow.weights(min(t, last))]

    constant = weights(start) if flow.piecewise else None

    def velocity(t: float, x: Array) -> Array:
        A1, A2, b1, b2 = constant or weights(t)
        return b2 - A2 @ np.maximum(A1 @ x + b1, 0.0)

    return velocity


def _segment(
    velocity: Callable[[float, Array], Array],
    x: Array,
    held: Array,
    span: tuple[float, float],
    wanted: Array,
    most_step: float,
    rtol: float,
    atol: float,
) -> Any:
    """Integrate with the held entries at rest until one must change."""

    def slow(t: float, x: Array) -> Array:
        return np.where(held, 0.0, velocity(t, x))

    events = []
    for i in range(len(x)):
        if held[i]:
            event: Any = lambda t, x, i=i: velocity(t, x)[i] - PULL  # noqa: E731
            event.direction = 1.0
        else:
            event = lambda _t, x, i=i: x[i]  # noqa: E731
            event.direction = -1.0
        event.terminal = True
        events.append(event)
    return solve_ivp(
        slow,
        span,
        x,
        method="DOP853",
        t_eval=wanted,
        events=events,
        max_step=most_step,
        rtol=rtol,
        atol=atol,
    )


def slow_solution(
    flow: ResNetFlow,
    x0: Any,
    times: Any,
    rtol: float = 1e-10,
    atol: float = 1e-12,
    most_events: int = 1000,
) -> Reference:
    r"""The solution of the inclusion by projected dynamics with event detection.

    Args:
        flow: the weights and biases, not batched.
        x0: the start, shape ``(d,)``, in the orthant.
        times: increasing times, the first is that of the start, shape ``(K,)``.
        rtol, atol: tolerances of a step of the integrator.
        most_events: give up after so many contacts and releases.

    Returns:
        the path, shape ``(K, d)``, and the contacts and releases in order of time.

    Raises:
        InputError: if the input is unusable, or there are more events than ``most_events``.

    Source: the slow solution of a perturbed sweeping process with constant set, Theorem 7.
    Chapter 3.
    """
    start, grid = check_start(x0), check_times(times).numpy()
    weights = flow.weights(grid[0])
    if start.ndim != 1 or [w.ndim for w in weights] != [2, 2, 1, 1]:
        raise InputError("the reference takes one start of shape (d,) and weights without a batch")
    if len(start) != weights[0].shape[1]:
        raise InputError(f"x0 must have length {weights[0].shape[1]}, got {len(start)}")
    x = start.detach().numpy().copy()
    path, found = np.empty((len(grid), len(x))), list[Event]()
    path[0] = x
    stops = [t for t in flow.breakpoints if grid[0] < t < grid[-1]] + [grid[-1]]
    most_step = (grid[-1] - grid[0]) / STEPS
    t = float(grid[0])
    held = np.zeros(len(x), dtype=bool)
    for end in stops:
        velocity = _velocity(flow, t, end)
        released = np.zeros(len(x), dtype=bool)
        while t < end:
            rest = (x <= 0) & (velocity(t, x) <= 0) & ~released
            found += [Event(t, int(i), "contact") for i in np.flatnonzero(rest & ~held)]
            found += [Event(t, int(i), "release") for i in np.flatnonzero(held & ~rest)]
            held = rest
            if len(found) > most_events:
                raise InputError(f"more than most_events = {most_events} contacts and releases")
            wanted = (grid > t) & (grid <= end)
            asked = np.union1d(grid[wanted], end)
            run = _segment(velocity, x, held, (t, end), asked, most_step, rtol, atol)
            seen = min(len(run.t), int(wanted.sum()))
            if seen:
                path[np.flatnonzero(wanted)[:seen]] = run.y.T[:seen]
            fired = [i for i, when in enumerate(run.t_events) if len(when)]
            if not fired:
                t, x = end, np.maximum(run.y[:, -1], 0.0)
                break
            i = fired[0]
            t, x = float(run.t_events[i][0]), np.maximum(run.y_events[i][0], 0.0)
            released = np.zeros(len(x), dtype=bool)
            if held[i]:
                released[i] = True
            else:
                x[i] = 0.0
    return Reference(path, found)
