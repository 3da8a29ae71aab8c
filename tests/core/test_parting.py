"""The pair that parts: against the layer itself, in fractions, and where the converse ends."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from builders import exact, randn

from forward_stability.errors import InputError
from forward_stability.parting import parting_pair
from forward_stability.prox import relu


def stretched(A1, A2, b, x, y):
    """‖f(x) − f(y)‖/‖x − y‖ by running the layer."""
    ends = [z - A2 @ relu(A1 @ z + b) for z in (x, y)]
    return float((ends[0] - ends[1]).norm() / (x - y).norm())


def symmetric(h, d, norm):
    """A layer A2 = A1ᵀΛ with ‖Λ^½ A1‖ as asked."""
    A1, scale = randn(h, d), torch.rand(h, dtype=torch.float64) * 3
    B = scale.sqrt()[:, None] * A1
    A1 = A1 * norm / torch.linalg.matrix_norm(B, ord=2)
    return A1, A1.mT * scale


@pytest.mark.parametrize("seed", range(100))
def test_the_layer_itself_parts_the_pair_by_its_ratio(seed):
    torch.manual_seed(seed)
    h, d = int(torch.randint(1, 6, ())), int(torch.randint(2, 6, ()))
    A1, A2 = randn(h, d), randn(d, h)
    pair = parting_pair(A1, A2)
    assert stretched(A1, A2, pair.b, pair.x, pair.y) == pytest.approx(pair.ratio, abs=1e-12)
    assert pair.ratio > 1


@pytest.mark.parametrize("seed", range(100))
def test_a_symmetric_layer_has_no_pair_and_beyond_the_root_of_two_it_has(seed):
    torch.manual_seed(seed)
    h, d = torch.randint(1, 6, (2,)).tolist()
    A1, A2 = symmetric(h, d, 2**0.5)
    assert parting_pair(A1, A2).ratio == pytest.approx(1, abs=1e-14)
    A1, A2 = symmetric(h, d, 2.02**0.5)
    assert parting_pair(A1, A2).ratio == pytest.approx(1.02, abs=1e-12)


@pytest.mark.parametrize("seed", range(50))
def test_every_set_of_units_is_at_most_one_if_the_pair_is(seed):
    """The direction that needs the proof: h + 1 sets say it for all 2^h of them."""
    torch.manual_seed(seed)
    h, d = int(torch.randint(2, 7, ())), int(torch.randint(1, 5, ()))
    A1, A2 = symmetric(h, d, 2**0.5)
    assert parting_pair(A1, A2).ratio <= 1 + 1e-14
    sets = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * h)
    steps = torch.eye(d, dtype=torch.float64) - A2 @ (sets[:, :, None] * A1)
    assert float(torch.linalg.matrix_norm(steps, ord=2).max()) <= 1 + 1e-14


@pytest.mark.parametrize("turn", [1e-4, 1e-2, 0.3, 3.0])
def test_the_least_turn_of_one_unit_makes_a_pair(turn):
    """σ² of I − uvᵀ has (σ₁² − 1)(σ₂² − 1) = (uᵀv)² − ‖u‖²‖v‖² < 0 if u and v are not parallel."""
    v = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    u = torch.tensor([[np.cos(turn)], [np.sin(turn)]], dtype=torch.float64)
    ratio = parting_pair(v, u).ratio
    total, product = 3 - 2 * np.cos(turn), (1 - np.cos(turn)) ** 2
    closed = np.sqrt((total + np.sqrt(total**2 - 4 * product)) / 2)
    assert ratio == pytest.approx(closed, abs=1e-14)
    assert ratio > 1


def test_a_pair_in_fractions():
    """No rounding: the layer takes the pair of a turned unit strictly further apart."""
    A1, A2 = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[1.0], [0.125]]).double()
    pair = parting_pair(A1, A2)
    one, two, b, x = (exact(value) for value in (A1, A2, pair.b, pair.x))
    ends = [z - two @ np.maximum(one @ z + b, Fraction(0)) for z in (x, 0 * x)]
    apart = ((ends[0] - ends[1]) ** 2).sum()
    assert apart > (x**2).sum()


def test_rows_of_zeros_say_nothing():
    A1 = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).double()
    A2 = torch.tensor([[1.0, 7.0], [0.0, -9.0]]).double()
    assert parting_pair(A1, A2).ratio == pytest.approx(1, abs=1e-15)


def test_one_bias_is_weaker_than_every_bias():
    """Slopes 1, 0 and 1/2 with this bias, 3/2 with another: λ₂ = −1/2 shows only there."""
    A1, A2 = torch.ones(2, 1).double(), torch.tensor([[1.0, -0.5]]).double()
    b = torch.tensor([0.0, -1.0]).double()
    z = torch.linspace(-3, 3, 601).double()[:, None]
    ends = z - relu(z @ A1.T + b) @ A2.T
    assert float((ends.diff(dim=0) / z.diff(dim=0)).abs().max()) <= 1 + 1e-12
    assert parting_pair(A1, A2).ratio == pytest.approx(1.5, abs=1e-15)


@pytest.mark.parametrize(
    ("A1", "A2", "message"),
    [
        ([1.0, 2.0], [[1.0]], "must be a matrix"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "must be a matrix"),
        ([[1.0]], [[np.inf]], "must be finite"),
        ([[np.nan]], [[1.0]], "must be finite"),
    ],
)
def test_what_is_no_layer_is_refused(A1, A2, message):
    with pytest.raises(InputError, match=message):
        parting_pair(A1, A2)
