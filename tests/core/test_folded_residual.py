"""Residual layers with their batch normalisations: constants that are attained, weighted norms."""

from math import sqrt

import pytest
import torch
from builders import delta, randn, unit

from forward_stability.certificates import certify_layers
from forward_stability.folded_residual import FoldedSymmetric
from forward_stability.folding import (
    FoldedConv,
)
from forward_stability.operators import conv_matrix
from forward_stability.spectral import conv_norm
from forward_stability.worst_pair import stretch


def test_the_folded_symmetric_layer_attains_max_of_1_and_norm_squared_minus_1():
    K = delta(2, 2, 1, 1, 2.5)
    zero, one = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    layer = FoldedSymmetric(K, unit(2, 1, 10), unit(2, 1, 60), one, one)
    front = FoldedConv(delta(2, 1, 1, 0, 1), zero)
    report = certify_layers([front, layer], (3, 3)).layers[1]
    assert report.lipschitz == pytest.approx(2.5**2 - 1, rel=1e-12)
    x = torch.ones(1, 2, 3, 3, dtype=torch.float64)
    found = stretch(layer, x, x + 0.1 * unit(2, 1, 1)[:, None, None])
    assert float(found) == pytest.approx(2.5**2 - 1, rel=1e-9)


def test_a_negative_gamma_pushes_the_other_way():
    """σ(x + c²x + …) on one channel: the constant 1 + ‖B₋‖² is attained."""
    zero, one = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    d1 = torch.tensor([1.0, -1.0], dtype=torch.float64)
    layer = FoldedSymmetric(delta(2, 2, 1, 1, 0.7), unit(2, 1, 10), unit(2, 1, 10), d1, one)
    front = FoldedConv(delta(2, 1, 1, 0, 1), zero)
    report = certify_layers([front, layer], (3, 3)).layers[1]
    assert report.lipschitz == pytest.approx(1 + 0.7**2, rel=1e-12)
    x = torch.ones(1, 2, 3, 3, dtype=torch.float64)
    v = unit(2, 1, 0.1)[:, None, None]
    assert float(stretch(layer, x, x + v)) == pytest.approx(1 + 0.7**2, rel=1e-9)


def test_weighted_norm_of_a_folded_resnet_s_layer():
    """Different D2: expansive in the plain norm, non-expansive in ‖D2^{-1/2} x‖; dense check."""
    torch.manual_seed(4)
    size, d = (3, 4), 3
    expansive = 0
    for _ in range(30):
        d1, d2 = torch.rand(2, d, dtype=torch.float64) * 3 + 0.05
        K = randn(d, d, 3, 3)
        scaled = K * d1.sqrt()[:, None, None, None] * d2.sqrt()[:, None, None]
        K *= sqrt(2) / conv_norm(scaled, size)
        layer = FoldedSymmetric(K, randn(d), randn(d), d1, d2)
        report = certify_layers([FoldedConv(delta(d, 1, 0, 0, 1), randn(d)), layer], size).layers[1]
        assert abs(report.norms["D1^½ A D2^½"] - sqrt(2)) <= 1e-12
        assert [c.equation for c in report.checks if not c.holds] == ["15"]
        A1, A2 = conv_matrix(layer.K1, size), conv_matrix(layer.K2, size)
        w = d2.rsqrt().repeat_interleave(12)
        for p in (0.0, 0.5, 1.0):
            D = (torch.rand(d * 12, dtype=torch.float64) < p).double()
            J = torch.eye(d * 12, dtype=torch.float64) - A2 @ (D[:, None] * A1)
            assert float(torch.linalg.matrix_norm(w[:, None] * J / w, 2)) <= 1 + 1e-12
            plain = float(torch.linalg.matrix_norm(J, 2))
            expansive += plain > 1 + 1e-6
            assert plain <= report.best * (1 + 1e-12)
    assert expansive > 10
