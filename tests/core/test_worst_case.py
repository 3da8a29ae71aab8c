"""The hunt for the largest ratio: right hypotheses, right ratios, and enough power to refute."""

import math

import pytest
import torch

from forward_stability import growth
from forward_stability.errors import InputError
from forward_stability.flow import ResNetDFlow
from forward_stability.worst_case import (
    Instance,
    build,
    project,
    random_instance,
    ratio,
    reference_ratio,
    search,
)

EQUATIONS = tuple(growth.EQUATIONS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(A1, A2, b1, b2, x0, y0):
    """One network with one piece, as a batch of one."""

    def tensor(values, axes):
        values = torch.tensor(values, dtype=torch.float64)
        return values.reshape(*(1,) * (axes - values.ndim), *values.shape)

    return Instance(
        *(tensor(w, n) for w, n in zip((A1, A2, b1, b2, x0, y0), (4, 4, 3, 3, 2, 2), strict=True))
    )


@pytest.mark.parametrize("equation", [7, 8])
def test_aligned_rank_one_weights_attain_the_exponential_bounds(equation):
    # A1 = v uᵀ, A2 = -u vᵀ, b1 = v/2, b2 = u/3 with unit u, v ≥ 0: r' = r + 1/2 + 1/3 along u.
    # ‖x - y‖ grows like exp(t); the scheme has (1 + 1/N)^N instead.
    u, v = torch.tensor([0.6, 0.8]), torch.tensor([0.8, 0.6])
    A1, A2 = torch.outer(v, u).tolist(), (-torch.outer(u, v)).tolist()
    found = network(A1, A2, (v / 2).tolist(), (u / 3).tolist(), u.tolist(), (2 * u).tolist())
    assert reference_ratio(equation, found.take(0)) == pytest.approx(1, abs=1e-7)
    if equation == 8:
        expected = (1 + 1 / 32) ** 32 / math.e
        assert ratio(8, found, 32).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("equation", [10, 12, 13])
def test_silent_neurons_attain_the_other_bounds(equation):
    # b1 so negative that σ(A x + b1) = 0: x' = b2, parallel to x(0).
    eye = torch.eye(2).tolist()
    found = network(eye, eye, [-9.0, -9.0], [0.6, 0.8], [0.6, 0.8], [0.0, 1.0])
    assert ratio(equation, found, 4).item() == pytest.approx(1, abs=1e-7)
    assert reference_ratio(equation, found.take(0)) == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_scheme_and_reference_agree_on_the_ratio(equation):
    found = random_instance(equation, 6, 3, generator(equation), norm=1.0)
    coarse, fine = ratio(equation, found, 200), ratio(equation, found, 400)
    for i in range(6):
        error = abs(fine[i].item() - reference_ratio(equation, found.take(i)))
        assert error < 1.5 * abs(coarse[i] - fine[i]).item() + 1e-4
        assert error < 2e-3


@pytest.mark.parametrize("equation", EQUATIONS)
def test_no_random_network_exceeds_the_bound(equation):
    # True of the scheme itself, so only rounding is allowed.
    for d in (1, 2, 5):
        found = random_instance(equation, 500, d, generator(d), norm=None)
        assert ratio(equation, found, 16).max() <= 1 + 1e-12


@pytest.mark.parametrize("equation", EQUATIONS)
def test_projection_returns_to_the_hypotheses(equation):
    def normal(*shape):
        return torch.randn(*shape, generator=generator(4), dtype=torch.float64)

    inside = project(
        equation,
        Instance(normal(2, 9, 3, 3), normal(2, 9, 3, 3), *normal(2, 2, 9, 3), *normal(2, 9, 3)),
        1.5,
    )
    flow = build(equation, inside)
    A1, A2, _, _ = flow.weights(0.7)
    for A in (A1, A2):
        singular = torch.linalg.svdvals(A)[:, 0]
        torch.testing.assert_close(singular, torch.full((9,), 1.5, dtype=torch.float64))
    assert (inside.x0 >= 0).all()
    assert (inside.y0 >= 0).all()
    if equation == 10:
        assert (A2 >= 0).all()


@pytest.mark.parametrize("equation", EQUATIONS)
def test_search_climbs_and_repeats(equation):
    best, height = search(equation, 2, 8, 40, seed=1, steps=8)
    begin = ratio(equation, random_instance(equation, 8, 2, generator(1)), 8)
    assert (height >= begin - 1e-12).all()
    assert height.max() > begin.max() + 0.01 or height.max() > 0.99
    torch.testing.assert_close(ratio(equation, best, 8), height, rtol=1e-12, atol=0)
    again = search(equation, 2, 8, 40, seed=1, steps=8)[1]
    torch.testing.assert_close(again, height, rtol=1e-9, atol=0)


def test_search_refutes_a_false_claim(monkeypatch):
    # Eq. 13 does not hold for ResNet-D: the search must find a network that expands distances.
    monkeypatch.setitem(growth.EQUATIONS, 13, ResNetDFlow)
    best, height = search(13, 2, 16, 100, seed=0, steps=8)
    assert height.max() > 1.5
    assert reference_ratio(13, best.take(int(height.argmax()))) > 1.5


def test_unusable_input_is_named():
    with pytest.raises(InputError, match="equation must be one of"):
        random_instance(9, 4, 2, generator())
    with pytest.raises(InputError, match="steps must be a multiple of the 2 pieces"):
        ratio(7, random_instance(7, 4, 2, generator()), 5)
    with pytest.raises(InputError, match="steps must be at least 8"):
        ratio(13, random_instance(13, 4, 2, generator(), norm=4.0), 4)
