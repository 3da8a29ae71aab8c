r"""One inequality for many layers: norms that are handed on from layer to layer.

The product of the constants of all layers takes for granted that the worst direction of a layer is
handed on to the next. Instead, let :math:`\|x\|_P^2 = \sum_c P_c \|x_c\|^2` weigh the channels of
the features, each layer with weights :math:`P > 0` before and :math:`P' > 0` behind it. A layer
:math:`f(x) = \sigma(Gx - H\sigma(Ax + b))` satisfies
:math:`\|f(x) - f(y)\|_{P'}^2 \le q \|x - y\|_P^2` for every b if multipliers T > 0 make

.. math:: M = \begin{pmatrix} qP & -A^*T \\ -TA & 2T \end{pmatrix}
              - \begin{pmatrix} G^* \\ -H^* \end{pmatrix} P'
              \begin{pmatrix} G & -H \end{pmatrix} \succeq 0 .

With :math:`P^0 = P^N = I` the product of all :math:`\sqrt q` is a Lipschitz constant of N layers.
:mod:`~forward_stability.multipliers` is the case of one. Chapter 15.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod, sqrt

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from forward_stability.multipliers import minimise
from forward_stability.rounding import Ball, frobenius, gamma

STAGES, FREQUENCIES = (50.0, 100.0, 200.0), 24


@dataclass(frozen=True)
class Link:
    """A layer x ↦ σ(Gx − H σ(Ax + b)), with or without the outer σ, frequency by frequency.

    Attributes:
        G: shape ``(frequencies, out, aliases · into)``.
        H: shape ``(frequencies, out, h)``; h = 0 for an affine layer.
        A: shape ``(frequencies, h, aliases · into)``.
        into: the channels of x; with a stride, several frequencies of x stand side by side.
    """

    G: Ball
    H: Ball
    A: Ball
    into: int

    def weights(self, P: Tensor) -> Tensor:
        """P for all columns of G."""
        return P.expand(self.into).repeat(self.G.centre.shape[-1] // self.into)


@dataclass(frozen=True)
class Chain:
    """Weights and multipliers for consecutive layers, and the constant that is proven with them.

    Attributes:
        P: P^0, …, P^N, float64, shape ``(channels,)``, or ``(1,)`` for the same on each channel.
        T: the multipliers of each layer, shape ``(h,)``.
        constant: the Lipschitz constant of all layers; infinite if nothing was proven.
    """

    P: list[Tensor]
    T: list[Tensor]
    constant: float


def affine_link(G: Ball, into: int) -> Link:
    """The layer x ↦ Gx + b."""
    count, out, columns = G.centre.shape
    exact = torch.zeros(count, dtype=torch.float64)
    H, A = (G.centre.new_zeros(shape) for shape in ((count, out, 0), (count, 0, columns)))
    return Link(G, Ball(H, exact), Ball(A, exact), into)


def identity(channels: int, count: int = 1, factor: float = 1.0) -> Ball:
    """The identity times a number at each of ``count`` frequencies."""
    eye = factor * torch.eye(channels, dtype=torch.complex128)
    return Ball(eye.expand(count, -1, -1), torch.zeros(count, dtype=torch.float64))


@torch.no_grad()
def chain(links: Sequence[Link], steps: int = 80) -> Chain:
    r"""A small constant of the inequality for layers that follow one another.

    For any P and T the least q of a layer is the largest eigenvalue of :math:`P^{-1/2} S P^{-1/2}`
    over all frequencies, S the Schur complement of M. The product of these is minimised over the
    logarithms of P and T by a quasi-Newton method (L-BFGS), each maximum first replaced by an
    ℓk norm of all eigenvalues, k = 50, 100, 200. The best that it finds is then proven, rounding
    included; that it is the least is not.

    Args:
        links: the layers.
        steps: for each k.

    Source: LipSDP (Fazlyab et al. 2019) and ECLipsE (Xu & Sivaranjani 2024), with diagonal weights
    and frequencies apart. Chapter 15.
    """
    one, count = torch.ones(1, dtype=torch.float64), len(links)
    ends = [link.into for link in links[1:]]
    sizes = ends + [link.A.centre.shape[-2] for link in links]

    def parts(u: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        values = list(u.exp().split(sizes))
        return [one, *values[: len(ends)], one], values[len(ends) :]

    def at_all(u: Tensor) -> tuple[float, list[Tensor], list[Tensor], list[Tensor]]:
        """log Π q, the q of each frequency, P and T."""
        P, T = parts(u)
        T = _feasible(links, P, T)
        each = zip(links, P[:-1], P[1:], T, strict=True)
        needed = [_eigenvalues(*one)[:, -1] for one in each]
        return sum(float(q.max().log()) for q in needed), needed, P, T

    flat = torch.zeros(sum(ends), dtype=torch.float64)
    least, needed, P, T = at_all(torch.cat([flat, *map(_start, links)]))
    for k in STAGES if sum(sizes) else ():  # an affine layer alone has nothing to choose
        chosen = [
            _at(link, q.topk(min(FREQUENCIES, len(q))).indices)
            for link, q in zip(links, needed, strict=True)
        ]

        @torch.enable_grad()
        def objective(values: np.ndarray, k=k, chosen=chosen) -> tuple[float, np.ndarray]:
            u = torch.tensor(values, requires_grad=True)
            P, T = parts(u)
            total = torch.zeros((), dtype=torch.float64)
            for each in zip(chosen, P[:-1], P[1:], T, strict=True):
                eigenvalues = _eigenvalues(*each).flatten()
                if not bool(torch.isfinite(eigenvalues).all()):
                    return 1e6, np.zeros_like(values)  # beyond the edge: the search turns back
                total = total + torch.logsumexp(k * eigenvalues.clamp_min(1e-300).log(), 0) / k
            total.backward()
            assert u.grad is not None
            return total.item(), u.grad.numpy()

        options = {"maxiter": steps, "maxcor": 30}
        start = torch.cat([*P[1:-1], *T]).log().numpy()
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        total, others, *at = at_all(torch.from_numpy(found.x))
        if total < least:
            least, needed, (P, T) = total, others, at
    factors = [_proven(*each) for each in zip(links, P[:-1], P[1:], T, strict=True)]
    return Chain(P, T, sqrt(prod(factors)) * (1 + gamma(2 * count + 8)))


def _start(link: Link) -> Tensor:
    """The logarithm of the T that is best for a residual layer alone, or of one for all units."""
    G, H, A, one = link.G.centre, link.H.centre, link.A.centre, torch.ones(1, dtype=torch.float64)
    if not H.shape[-1]:
        return one[:0]
    if G.shape[-1] == G.shape[-2] and bool((torch.eye(G.shape[-1]) == G).all()):
        return minimise(A, H, 1e-2)[1].log()
    top = float(torch.linalg.matrix_norm(H, ord=2).max()) ** 2
    tried = [torch.full(H.shape[-1:], top * f, dtype=torch.float64) for f in (0.75, 1, 1.5, 2, 4)]
    return min(tried, key=lambda T: float(_eigenvalues(link, one, one, T).max())).log()


def _at(link: Link, indices: Tensor) -> Link:
    """The link at some of its frequencies."""
    G, H, A = (Ball(b.centre[indices], b.radius[indices]) for b in (link.G, link.H, link.A))
    return Link(G, H, A, link.into)


def _eigenvalues(link: Link, P: Tensor, P_next: Tensor, T: Tensor) -> Tensor:
    """All q at which M is singular, in ascending order, for each frequency; infinite for no q."""
    G, H, A = link.G.centre, link.H.centre, link.A.centre
    root = P_next.sqrt()[:, None]
    rows = [root * G]
    if len(T):
        factor, info = torch.linalg.cholesky_ex(torch.diag(2 * T) - (H.mH * P_next) @ H)
        if bool(info.any()):
            return torch.full((len(G), 1), inf, dtype=torch.float64)
        B = (G.mH * P_next) @ H - A.mH * T
        rows.append(torch.linalg.solve_triangular(factor, B.mH, upper=False))
    X = torch.cat(rows, -2) * link.weights(P).rsqrt()
    return torch.linalg.eigvalsh(X @ X.mH if X.shape[-2] < X.shape[-1] else X.mH @ X)


def _feasible(links: Sequence[Link], P: list[Tensor], T: list[Tensor]) -> list[Tensor]:
    """T, large enough for 2T − H*P'H to be positive at every frequency."""
    result = []
    for link, weights, t in zip(links, P[1:], T, strict=True):
        X = weights.sqrt()[:, None] * link.H.centre * t.rsqrt()
        top = float(torch.linalg.matrix_norm(X, ord=2).max()) ** 2 if len(t) else 0.0
        result.append(t * max(1.0, 0.51 * top))
    return result


def _proven(link: Link, P: Tensor, P_next: Tensor, T: Tensor) -> float:
    """A q for which M is proven to be positive for these P and T; infinite if there is none.

    Nor is one for filters whose squares leave the range of float64, and with it the error bounds.
    """
    parts = (K.centre.abs().max() for K in (link.G, link.H, link.A) if K.centre.numel())
    if not all(1e-100 < float(largest) < 1e100 for largest in parts):
        return inf
    q = float(_eigenvalues(link, P, P_next, T).max())
    if q < inf:
        for room in (1e-12, 1e-10, 1e-8, 1e-6):
            raised = q * (1 + room)
            if _matrix(link, raised, P, P_next, T).is_positive():
                return raised
    return inf


def _matrix(link: Link, q: float, P: Tensor, P_next: Tensor, T: Tensor) -> Ball:
    """M of every frequency, with the errors of the symbols and of its computation.

    Rows and columns are divided by powers of two, so that qP, P' and 2T are about 1.
    """
    G, H, A, exact = link.G, link.H, link.A, torch.zeros_like(link.G.radius)
    into, hidden, behind = (_root(w) for w in (q * link.weights(P), 2 * T, 1 / P_next))
    rows = [Ball(K.centre / behind[:, None] / columns, K.radius / behind.min() / columns.amin())
            for K, columns in ((G, into), (H, hidden)) if len(columns)]  # fmt: skip
    N = Ball(
        torch.cat([row.centre * sign for row, sign in zip(rows, (1, -1), strict=False)], -1),
        sum((row.radius for row in rows), exact),
    )
    weights = torch.diag((P_next * behind.square()).expand(G.centre.shape[-2])).to(N.centre)
    square = Ball(N.centre.mH.resolve_conj(), N.radius) @ Ball(weights, exact) @ N
    diagonal = torch.cat([q * link.weights(P) / into.square(), 2 * T / hidden.square()])
    centre, radius = torch.diag(diagonal).to(N.centre) - square.centre, square.radius
    total = frobenius(centre) + square.size
    if len(T):
        A = Ball(A.centre * hidden[:, None] / into, A.radius * hidden.max() / into.min())
        half = torch.diag(T / hidden.square()).to(N.centre)
        side = Ball(A.centre.mH.resolve_conj(), A.radius) @ Ball(half, exact)
        centre[:, : len(into), len(into) :] -= side.centre
        centre[:, len(into) :, : len(into)] -= side.centre.mH
        radius, total = radius + 2 * side.radius, total + 2 * side.size
    return Ball(centre, (radius + gamma(8) * total) * (1 + gamma(8)))


def _root(x: Tensor) -> Tensor:
    """A power of two near the square root of each entry."""
    return torch.ldexp(torch.ones_like(x), torch.frexp(x)[1] // 2)
