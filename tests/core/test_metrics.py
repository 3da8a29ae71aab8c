"""Norms that are handed on: proven in fractions, and against dense matrices and active units."""

from dataclasses import replace
from fractions import Fraction
from math import inf, prod

import numpy as np
import pytest
import torch
from builders import exact, positive, randn

from forward_stability.certificates import certify_layers
from forward_stability.folded_residual import FoldedOriginal, FoldedResidual, FoldedSymmetric
from forward_stability.folding import (
    FoldedConv,
    FoldedFlattening,
    FoldedGlobalPooling,
    FoldedHalving,
    FoldedLinear,
    FoldedPooling,
    forward,
)
from forward_stability.metrics import Link, _matrix, _proven, affine_link, chain
from forward_stability.multipliers import lipschitz
from forward_stability.operators import conv_matrix, global_pool, pad_channels, pool2
from forward_stability.rounding import Ball
from forward_stability.spectral import proven_norm


def ball(matrix):
    return Ball(matrix[None].to(torch.complex128), torch.zeros(1, dtype=torch.float64))


def link_of(G, H, A):
    return Link(ball(G), ball(H), ball(A), G.shape[1])


def jacobians(G, H, A):
    """σ' (G − H D A) for all sets of active units, inside and outside."""
    (out, _), h = G.shape, len(A)
    inner, outer = (
        torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * n).reshape(-1, n, 1)
        for n in (h, out)
    )
    return (outer[:, None] * (G - H @ (inner * A))).flatten(0, 1)


@pytest.mark.parametrize("seed", range(30))
def test_the_weights_of_one_layer_are_proven_in_fractions(seed):
    torch.manual_seed(seed)
    into, out, h = (int(n) for n in torch.randint(1, 4, (3,)))
    G, H, A = randn(out, into), randn(out, h), randn(h, into)
    P, P_next = (10 ** (3 * randn(n)) for n in (into, out))
    T = (H.T * P_next) @ H @ torch.ones(h, dtype=torch.float64)
    T = T.abs() + 3 * torch.linalg.matrix_norm((H.T * P_next) @ H, ord=2)
    q = _proven(link_of(G, H, A), P, P_next, T)
    g, h_, a, p, p_next, t = (exact(v) for v in (G, H, A, P, P_next, T))
    N = np.concatenate([g, -h_], 1)
    zero = np.zeros((into, into), dtype=int)

    def M(factor):
        off = np.block([[zero, a.T * t], [(a.T * t).T, np.zeros((h, h), dtype=int)]])
        diagonal = np.diag(np.concatenate([p * factor, 2 * t]))
        return diagonal - (N.T * p_next) @ N - off

    assert positive(M(Fraction(q)))
    assert not positive(M(Fraction(q) * (1 - Fraction(1, 10**5))))
    for J in jacobians(G, H, A):
        weighted = P_next.sqrt()[:, None] * J / P.sqrt()
        assert float(torch.linalg.matrix_norm(weighted, ord=2)) ** 2 <= q * (1 + 1e-12)


def test_a_smaller_constant_is_not_proven_and_errors_of_symbols_count():
    torch.manual_seed(5)
    G, H, A = randn(3, 2), randn(3, 4), randn(4, 2)
    P, P_next, T = (torch.rand(n).double() + 0.5 for n in (2, 3, 4))
    T = T + float(torch.linalg.matrix_norm((H.T * P_next) @ H, ord=2))
    link = link_of(G, H, A)
    q = _proven(link, P, P_next, T)
    assert _matrix(link, q * (1 + 1e-9), P, P_next, T).is_positive()
    assert not _matrix(link, q * (1 - 1e-9), P, P_next, T).is_positive()
    for name in ("G", "H", "A"):
        part = getattr(link, name)
        blurred = replace(link, **{name: Ball(part.centre, part.radius + 1e-3)})
        assert _matrix(link, 1.5 * q, P, P_next, T).is_positive()
        assert _matrix(blurred, 1.5 * q, P, P_next, T).is_positive()
        assert not _matrix(blurred, q * (1 + 1e-5), P, P_next, T).is_positive()


@pytest.mark.parametrize("seed", range(8))
def test_the_chain_is_between_the_worst_sets_of_units_and_the_product(seed):
    torch.manual_seed(seed)
    eye = torch.eye(2, dtype=torch.float64)
    layers = [(eye, randn(2, 2), randn(2, 2)) for _ in range(3)]
    found = chain([link_of(*layer) for layer in layers])
    products = jacobians(*layers[0])
    for layer in layers[1:]:
        products = (jacobians(*layer)[:, None] @ products).flatten(0, 1)
    least = float(torch.linalg.matrix_norm(products, ord=2).max())
    alone = prod(lipschitz(A, H).constant for _, H, A in layers)
    assert least <= found.constant <= 1.02 * alone
    assert [len(P) for P in found.P] == [1, 2, 2, 1]


@pytest.mark.parametrize("scale", [1e-170, 1e-110, 1e110])
def test_filters_out_of_range_prove_nothing(scale):
    link = affine_link(ball(scale * torch.eye(2, dtype=torch.float64)), 2)
    assert chain([link]).constant == inf
    one = torch.eye(2, dtype=torch.float64)
    assert chain([affine_link(ball(one), 2)]).constant == pytest.approx(1, rel=1e-11)


def test_a_narrow_layer_behind_makes_the_chain_sharp():
    """Two linear layers: the product of the norms is 200, the norm of the product 2."""
    first = torch.diag(torch.tensor([1.0, 100.0], dtype=torch.float64))
    second = torch.diag(torch.tensor([2.0, 0.02], dtype=torch.float64))
    found = chain([affine_link(ball(first), 2), affine_link(ball(second), 2)])
    assert 2 <= found.constant <= 2.02


@pytest.mark.parametrize("seed", range(5))
def test_the_chain_of_one_layer_is_its_best_multiplier(seed):
    torch.manual_seed(seed)
    K1, K2 = randn(3, 2, 3, 3) / 3, randn(2, 3, 3, 3) / 3
    layer = FoldedResidual(K1, torch.zeros(3).double(), K2, torch.zeros(2).double())
    best = lipschitz(K1, K2, (4, 4))
    found = chain([layer.link((4, 4), 2)], steps=300)
    assert best.constant**2 - best.gap <= found.constant**2 <= 1.03 * best.constant**2


def matrix_of(operator, d, size):
    """The dense matrix of a linear map of features with d channels."""
    unit = torch.eye(d * prod(size), dtype=torch.float64).reshape(-1, d, *size)
    return operator(unit).flatten(1).T


def residual(size, out=3, stride=1):
    K1, K2, b = randn(out, 3, 3, 3), randn(out, out, 3, 3), torch.zeros(out).double()
    behind = (size[0] // stride, size[1] // stride)
    dense = (
        matrix_of(lambda x: pad_channels(x[..., ::stride, ::stride], out), 3, size),
        conv_matrix(K2, behind),
        conv_matrix(K1, size, stride),
    )
    return FoldedOriginal(K1, b, K2, b, stride), dense


def symmetric(size):
    K, b, d1, d2 = randn(3, 3, 3, 3), torch.zeros(3).double(), randn(3), torch.rand(3).double() + 1
    A, pixels = conv_matrix(K, size), prod(size)
    outer, inner = d2.repeat_interleave(pixels), d1.repeat_interleave(pixels)
    dense = torch.eye(len(A), dtype=torch.float64), outer[:, None] * A.T, inner[:, None] * A
    return FoldedSymmetric(K, b, b, d1, d2), dense


def pooling(size, n=3):
    K = randn(6, 3, n, n)
    A = conv_matrix(K, size, 2)
    G = matrix_of(lambda x: pad_channels(pool2(x), 6), 3, size)
    return FoldedPooling(K, randn(6)), (G, torch.eye(len(A), dtype=torch.float64), A)


def convolution(size):
    K = randn(4, 3, 3, 3)
    return FoldedConv(K, randn(4)), (conv_matrix(K, size), None, None)


def halving(size):
    return FoldedHalving(), (matrix_of(pool2, 3, size), None, None)


def global_pooling(size):
    return FoldedGlobalPooling(), (matrix_of(global_pool, 3, size), None, None)


@pytest.mark.parametrize(
    ("make", "size", "options"),
    [
        (convolution, (4, 6), {}),
        (residual, (4, 6), {}),
        (residual, (6, 8), {"out": 6, "stride": 2}),
        (symmetric, (5, 6), {}),
        (pooling, (4, 6), {}),
        (pooling, (6, 4), {"n": 5}),
        (halving, (4, 6), {}),
        (global_pooling, (4, 6), {}),
    ],
)
def test_a_link_is_its_layer_in_weighted_norms(make, size, options):
    """With channels of hidden units active in part, it has the dense matrix's singular values."""
    torch.manual_seed(0)
    layer, (G, H, A) = make(size, **options)
    link, h = layer.link(size, 3), len(layer.link(size, 3).A.centre[0])
    out = link.G.centre.shape[1]
    P, P_next, D = (torch.rand(n).double() + 0.1 for n in (3, out, h))
    J = G if H is None else G - H @ (D.repeat_interleave(len(A) // h)[:, None] * A)
    left = P_next.sqrt().repeat_interleave(len(J) // out)[:, None]
    right = P.sqrt().repeat_interleave(J.shape[1] // 3)
    dense = torch.linalg.svdvals(left * J / right)
    blocks = link.G.centre - link.H.centre @ (D[:, None] * link.A.centre)
    weighted = P_next.sqrt()[:, None] * blocks / link.weights(P).sqrt()
    found = torch.linalg.svdvals(weighted).flatten()
    assert float(found.max()) == pytest.approx(float(dense.max()), rel=1e-12)
    assert float((found[:, None] - dense).abs().amin(1).max()) <= 1e-12 * float(dense.max())


def test_odd_images_and_flattening_end_a_chain():
    torch.manual_seed(0)
    assert FoldedHalving().link((5, 6), 3) is None
    assert pooling((4, 6))[0].link((4, 5), 3) is None
    assert residual((6, 8), 6, 2)[0].link((6, 7), 3) is None
    assert FoldedFlattening().link((4, 4), 3) is None


def test_a_certificate_takes_the_least():
    """Of layers of another form, such as a halving of odd images, it takes their own constants."""
    torch.manual_seed(1)
    first = [FoldedConv(randn(3, 2, 3, 3) / 3, randn(3)), residual((5, 6))[0]]
    second = [FoldedConv(randn(3, 3, 3, 3) / 3, randn(3)), residual((3, 3))[0]]
    last = FoldedLinear(randn(4, 27), randn(4))
    layers = [*first, FoldedHalving(), *second, FoldedFlattening(), last]
    plain, chained = (certify_layers(layers, (5, 6), chained=c)["best"] for c in (False, True))
    norm = proven_norm(last.W[..., None, None], (1, 1)) / 2
    for part, size, channels in ((first, (5, 6), (2, 3)), (second, (3, 3), (3, 3))):
        links = [layer.link(size, c) for layer, c in zip(part, channels, strict=True)]
        norm *= chain(links).constant
    assert chained.a == pytest.approx(norm, rel=1e-9)
    assert chained.a < plain.a
    x, y = torch.rand(2, 50, 2, 5, 6, dtype=torch.float64)
    apart = (forward(layers, x) - forward(layers, y)).flatten(1).norm(dim=1)
    assert bool((apart <= chained.a * (x - y).flatten(1).norm(dim=1)).all())
