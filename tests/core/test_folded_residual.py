"""Residual layers with their batch normalisations: constants that are attained, weighted norms."""

from math import sqrt

import pytest
import torch
from builders import randn

from forward_stability.certificates import certify_layers
from forward_stability.examples import delta, unit
from forward_stability.folded_residual import (
    FoldedOriginal,
    FoldedResidual,
    FoldedSymmetric,
    midpoint,
)
from forward_stability.folding import (
    FoldedConv,
)
from forward_stability.layer import Folded
from forward_stability.operators import conv_matrix, pad_channels
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


SIZE = (3, 4)


def norm_of(A: torch.Tensor) -> float:
    return float(torch.linalg.matrix_norm(A, 2))


def value_at_zero(layer: Folded, channels: int, size=SIZE) -> float:
    return float(layer(torch.zeros(1, channels, *size, dtype=torch.float64)).norm())


def test_a_constant_by_the_middle_of_the_jacobians_against_dense_matrices():
    """Channels of K1 of very different sizes, which a diagonal balances; and none that are zero."""
    torch.manual_seed(1)
    for scale, balances in (([1.0, 30.0, 0.1], True), ([1.0, 1.0, 0.0], False)):
        T = torch.tensor(scale, dtype=torch.float64)
        K1, K2 = randn(3, 3, 3, 3) * T[:, None, None, None], randn(3, 3, 3, 3)
        K2 = K2 / T.where(T > 0, 1.0)[:, None, None]
        A1, A2 = conv_matrix(K1, SIZE), conv_matrix(K2, SIZE)
        rows = K1.flatten(1).norm(dim=1) / K2.transpose(0, 1).flatten(1).norm(dim=1)
        t = torch.where(rows > 0, rows, 1.0).sqrt().repeat_interleave(12)
        product, balanced = norm_of(A1) * norm_of(A2), norm_of(A2 * t) * norm_of(A1 / t[:, None])
        assert (balanced < 0.9 * product) == balances
        eye = torch.eye(36, dtype=torch.float64)
        expected = norm_of(eye - A2 @ A1 / 2) + min(product, balanced) / 2
        assert midpoint(K1, K2, SIZE, product) == pytest.approx(expected, rel=1e-11)
        for _ in range(10):
            D = torch.rand(36, dtype=torch.float64).round()
            assert norm_of(eye - A2 @ (D[:, None] * A1)) <= expected


@pytest.mark.parametrize("positive", [True, False])
def test_what_is_reported_of_a_layer_of_resnet_d(positive):
    torch.manual_seed(2)
    K1, K2, b1, b2 = randn(2, 2, 3, 3) / 5, randn(2, 2, 3, 3).abs() / 5, randn(2), randn(2)
    if not positive:
        K2[0, 1, 2, 0] = -0.125
    layer = FoldedResidual(K1, b1, K2, b2)
    report, [bound] = layer.bounds(SIZE, "Theorem 5")
    norm1, norm2 = norm_of(conv_matrix(K1, SIZE)), norm_of(conv_matrix(K2, SIZE))
    assert report.norms == pytest.approx({"A1": norm1, "A2": norm2}, rel=1e-13)
    assert report.lipschitz == pytest.approx(1 + norm1 * norm2, rel=1e-13)
    assert report.best == min(report.lipschitz, midpoint(K1, K2, SIZE, norm1 * norm2))
    assert bound.constant == report.best
    (check,) = report.checks
    assert (check.equation, check.value, check.limit) == ("14", 0 if positive else 0.125, 0)
    assert layer.bounds(SIZE, "")[0].checks == ()
    at_zero = sqrt(12) * float(b2.relu().norm()) if positive else value_at_zero(layer, 2)
    assert report.offset == pytest.approx(at_zero, rel=1e-13)
    assert report.gain == (1 if positive else report.best)
    sizes = {"b1": sqrt(12) * float(b1.norm()), "b2": sqrt(12) * float(b2.norm())}
    assert report.biases == pytest.approx(sizes, rel=1e-14)
    x = randn(2, 2, *SIZE)
    inner = (x.flatten(1) @ conv_matrix(K1, SIZE).T + b1.repeat_interleave(12)).relu()
    expected = x.flatten(1) - inner @ conv_matrix(K2, SIZE).T + b2.repeat_interleave(12)
    torch.testing.assert_close(layer(x).flatten(1), expected.relu(), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("stride", "size", "half"), [(1, (3, 4), (3, 4)), (2, (4, 6), (2, 3)), (2, (5, 4), (3, 2))]
)
def test_what_is_reported_of_a_layer_of_the_original_resnet(stride, size, half):
    torch.manual_seed(3)
    out = 2 * stride
    K1, K2, b1, b2 = randn(out, 2, 3, 3) / 9, randn(out, out, 3, 3) / 9, randn(out), randn(out)
    layer = FoldedOriginal(K1, b1, K2, b2, stride)
    report, [bound] = layer.bounds(size, "")
    assert layer.output_size(size) == half
    assert layer.resamples == (stride == 2)
    A1, A2 = conv_matrix(K1, size, stride), conv_matrix(K2, half)
    exact = size != (5, 4)
    if exact:
        assert report.norms["A1"] == pytest.approx(norm_of(A1), rel=1e-13)
    else:
        assert report.norms["A1"] > norm_of(A1)
    assert report.norms["A2"] == pytest.approx(norm_of(A2), rel=1e-13)
    assert report.bounds == (() if exact else ("A1",))
    product = report.norms["A1"] * report.norms["A2"]
    assert report.lipschitz == pytest.approx(1 + product, rel=1e-14)
    best = report.lipschitz
    if stride == 1:
        best = min(best, midpoint(K1, K2, size, product))
    assert report.best == report.gain == bound.constant == best
    pixels = half[0] * half[1]
    assert report.offset == pytest.approx(value_at_zero(layer, 2, size), rel=1e-13)
    sizes = {"b1": sqrt(pixels) * float(b1.norm()), "b2": sqrt(pixels) * float(b2.norm())}
    assert report.biases == pytest.approx(sizes, rel=1e-14)
    x = randn(2, 2, *size)
    inner = (x.flatten(1) @ A1.T + b1.repeat_interleave(pixels)).relu()
    shortcut = pad_channels(x[..., ::stride, ::stride], out).flatten(1)
    expected = (shortcut - inner @ A2.T + b2.repeat_interleave(pixels)).relu()
    torch.testing.assert_close(layer(x).flatten(1), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("outer_relu", [True, False])
@pytest.mark.parametrize("signs", [(1, 1, 1), (1, -1, 1), (-1, -1, -1)])
def test_what_is_reported_of_a_layer_of_resnet_s(signs, outer_relu):
    torch.manual_seed(4)
    d1 = torch.tensor(signs) * (torch.rand(3, dtype=torch.float64) + 0.5)
    d2, b1, b2 = torch.rand(3, dtype=torch.float64) + 0.5, randn(3), randn(3)
    K = randn(3, 3, 3, 3) / 2
    layer = FoldedSymmetric(K, b1, b2, d1, d2, outer_relu)
    report, [plain, weighted] = layer.bounds(SIZE, "Theorem 6")
    A = conv_matrix(K, SIZE)
    D1, D2 = d1.repeat_interleave(12), d2.repeat_interleave(12)
    B = D1.abs().sqrt()[:, None] * A * D2.sqrt()
    A1, A2 = D1[:, None] * A, D2[:, None] * A.T
    norms = {"A": A, "D1 A": A1, "D2 Aᵀ": A2, "D1^½ A D2^½": B}
    expected = {name: norm_of(matrix) for name, matrix in norms.items()}
    assert report.norms == pytest.approx(expected, rel=1e-13)
    plus, minus = (norm_of(B[rows]) if rows.any() else 0.0 for rows in (D1 >= 0, D1 < 0))
    constant = max(1 + minus**2, plus**2 - 1)
    assert weighted.constant == pytest.approx(constant, rel=1e-13)
    assert torch.equal(weighted.u, d2.rsqrt())
    assert torch.equal(weighted.v, d2.rsqrt())
    spread = float((d2.max() / d2.min()).sqrt())
    product = expected["D1 A"] * expected["D2 Aᵀ"]
    assert report.lipschitz == pytest.approx(min(1 + product, spread * constant), rel=1e-13)
    middle = midpoint(layer.K1, layer.K2, SIZE, product)
    assert report.best == pytest.approx(min(report.lipschitz, middle), rel=1e-13)
    assert plain.constant == report.gain == report.best
    assert report.offset == pytest.approx(value_at_zero(layer, 3), rel=1e-13)
    sizes = {"b1": sqrt(12) * float(b1.norm()), "b2": sqrt(12) * float(b2.norm())}
    assert report.biases == pytest.approx(sizes, rel=1e-14)
    checks = [(c.equation, c.value, c.limit) for c in report.checks]
    negative = max(0.0, -float(d1.min()))
    assert checks == [
        ("15", pytest.approx(spread**2, rel=1e-14), 1),
        ("15", negative, 0),
        ("24", report.norms["D1^½ A D2^½"], sqrt(2)),
    ]
    x = randn(2, 3, *SIZE)
    inner = (x.flatten(1) @ A1.T + b1.repeat_interleave(12)).relu()
    z = x.flatten(1) - inner @ A2.T + b2.repeat_interleave(12)
    z = z.relu() if outer_relu else z
    torch.testing.assert_close(layer(x).flatten(1), z, rtol=0, atol=1e-13)
