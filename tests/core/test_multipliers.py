"""The inequality for a residual layer: proven in fractions, its corners, and no better T."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from builders import exact, positive, randn

from forward_stability.errors import InputError
from forward_stability.folded_residual import midpoint
from forward_stability.multipliers import _ball, lipschitz
from forward_stability.operators import conv_matrix
from forward_stability.spectral import proven_norm, proven_symbol


def patterns(A1, A2):
    """The largest norm of I − A2 D A1 over all sets of active units: no constant is below."""
    h, d = A1.shape
    sets = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * h)
    steps = torch.eye(d, dtype=torch.float64) - A2 @ (sets.reshape(-1, h, 1) * A1)
    return float(torch.linalg.matrix_norm(steps, ord=2).max())


def with_these(A1, A2, T):
    """L of the inequality for a given T; infinite where it says nothing."""
    corner = torch.diag(2 * T) - A2.mT @ A2
    if float(torch.linalg.eigvalsh(corner).min()) <= 0:
        return float("inf")
    B = A2 - A1.mT * T
    return float((1 + torch.linalg.eigvalsh(B @ torch.linalg.solve(corner, B.mT)).max()).sqrt())


@pytest.mark.parametrize("seed", range(40))
def test_it_is_proven_in_fractions_and_near_the_worst_set_of_units(seed):
    torch.manual_seed(seed)
    d, h = (int(n) for n in torch.randint(1, 5, (2,)))
    A1, A2 = randn(h, d) * 10.0 ** (seed % 5 - 2), randn(d, h)
    found = lipschitz(A1, A2)
    one, two, T = (exact(value) for value in (A1, A2, found.T))
    rho = Fraction(found.constant) ** 2 - 1
    B = two - one.T * T
    M = np.block([[rho * np.eye(d, dtype=int), B], [B.T, 2 * np.diag(T) - two.T @ two]])
    assert positive(M)
    least = patterns(A1, A2)
    assert least <= found.constant <= 1.1 * least


@pytest.mark.parametrize("seed", range(20))
def test_no_other_multipliers_are_better_than_the_gap_allows(seed):
    torch.manual_seed(seed)
    A1, A2 = randn(4, 3), randn(3, 4)
    found = lipschitz(A1, A2)
    assert 0 < found.gap <= 2e-3 * found.constant**2
    near = found.T * torch.exp(0.1 * randn(200, 4))
    far = torch.exp(3 * randn(200, 4)) * found.T.mean()
    best = min(with_these(A1, A2, T) for T in torch.cat([near, far]))
    assert best**2 >= found.constant**2 - found.gap
    assert with_these(A1, A2, found.T) == pytest.approx(found.constant, rel=1e-6)


def test_its_corners_are_the_layers_that_are_known():
    torch.manual_seed(1)
    A = randn(5, 4)
    norm = float(torch.linalg.matrix_norm(A, ord=2))
    for scale in (0.5, 2**0.5, 1.7, 3.0):  # Lemma 2: T = I and max(1, ‖A‖² − 1)
        A1 = A * scale / norm
        assert lipschitz(A1, A1.mT).constant == pytest.approx(max(1, scale**2 - 1), rel=2e-3)
    q = torch.rand(5, dtype=torch.float64) + 0.5  # SLL: 2 T⁻¹ with T of Gershgorin's circles
    T = (A @ A.mT).abs() @ q / q
    assert lipschitz(A, 2 * A.mT / T).constant == pytest.approx(1, abs=2e-3)
    assert with_these(A, 2 * A.mT / T, 2 / T * (1 + 1e-9)) == pytest.approx(1, abs=1e-6)
    D1 = torch.rand(5, dtype=torch.float64) + 0.2  # chapter 11 with D2 = I: T = D1⁻¹
    assert lipschitz(D1[:, None] * A / norm, A.mT / norm).constant == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("seed", range(8))
def test_a_convolution_is_its_dense_matrix(seed):
    torch.manual_seed(seed)
    K1, K2, size = randn(3, 2, 3, 3), randn(2, 3, 3, 3), (4, 3)
    found = lipschitz(K1, K2, size)
    A1, A2 = (conv_matrix(K, size) for K in (K1, K2))
    dense = with_these(A1, A2, found.T.repeat_interleave(12))
    assert found.constant == pytest.approx(dense, rel=1e-6)
    assert found.constant >= dense * (1 - 1e-13)
    assert found.constant <= 1 + proven_norm(K1, size) * proven_norm(K2, size)


def test_frequencies_that_were_left_out_at_first_are_met():
    """The 12 that need most for the first T are not those that need most for the last."""
    torch.manual_seed(0)
    for _ in range(3):
        K1, K2 = randn(4, 4, 3, 3), randn(4, 4, 3, 3)
        K1[:2] *= 20  # two units that are hard to balance
        found = lipschitz(K1, K2, (16, 16))
        assert found.gap <= 2e-3 * found.constant**2
        assert found.constant <= _midpoint(K1, K2)


def _midpoint(K1, K2):
    product = proven_norm(K1, (16, 16)) * proven_norm(K2, (16, 16))
    return midpoint(K1, K2, (16, 16), product) * (1 + 1e-3)


def test_a_slightly_smaller_constant_is_not_proven():
    torch.manual_seed(3)
    K1, K2 = (proven_symbol(randn(3, 3, 3, 3), (4, 4)) for _ in range(2))
    T = torch.full((3,), 200.0, dtype=torch.float64)
    B, corner = K2.centre - K1.centre.mH * T, torch.diag(2 * T) - K2.centre.mH @ K2.centre
    rho = float(torch.linalg.eigvalsh(B @ torch.linalg.solve(corner, B.mH)).max())
    assert _ball(K1, K2, rho * (1 + 1e-8), T).is_positive()
    assert not _ball(K1, K2, rho * (1 - 1e-12), T).is_positive()
    assert not _ball(K1, K2, rho * (1 + 1e-8), T / 1e4).is_positive()


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e150])
def test_the_scale_of_the_hidden_units_does_not_matter(scale):
    torch.manual_seed(4)
    A1, A2 = randn(3, 3), randn(3, 3)
    plain, scaled = lipschitz(A1, A2), lipschitz(A1 * scale, A2 / scale)
    assert scaled.constant == pytest.approx(plain.constant, rel=1e-3)
    units = torch.tensor([1e-9, 1.0, 1e9], dtype=torch.float64)
    assert lipschitz(A1 * units[:, None], A2 / units).constant == pytest.approx(
        plain.constant, rel=1e-3
    )


def test_units_without_effect_are_left_out():
    A1 = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]).double()
    A2 = torch.tensor([[0.5, 9.0, 0.0], [0.0, 9.0, 0.0]]).double()
    found = lipschitz(A1, A2)
    assert found.constant == pytest.approx(1, abs=2e-3)
    assert found.T[1] == found.T[2] == 0
    assert lipschitz(0 * A1, A2).constant == 1


@pytest.mark.parametrize(
    ("K1", "K2", "message"),
    [
        (torch.ones(2, 3), torch.ones(2, 3), "must have the shape"),
        (torch.ones(3), torch.ones(3), "must have the shape"),
        (torch.ones(1, 1), torch.full((1, 1), torch.inf), "must be finite"),
        (torch.full((1, 1), torch.nan), torch.ones(1, 1), "must be finite"),
    ],
)
def test_what_is_no_layer_is_refused(K1, K2, message):
    with pytest.raises(InputError, match=message):
        lipschitz(K1, K2)
