"""The hunt for the largest ratio: right hypotheses, right ratios, and enough power to refute."""

import itertools
import math

import pytest
import torch
from scipy import stats

from forward_stability import growth, worst_case
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
        assert error < 1.01 * abs(coarse[i] - fine[i]).item() + 1e-6
        assert error < 6e-4


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


def test_where_nothing_is_left_equal_entries_take_the_place():
    zero, x = torch.zeros(1, 1, 3, 3).double(), torch.zeros(1, 3).double()
    inside = project(10, Instance(zero, zero - 1, zero[..., 0], zero[..., 0], x - 1, x - 1), 1.5)
    third = torch.full((1, 1, 3, 3), 0.5, dtype=torch.float64)
    assert torch.equal(inside.A1, third)
    assert torch.equal(inside.A2, third)
    torch.testing.assert_close(inside.x0, x + 3**-0.5, rtol=1e-15, atol=0)
    assert torch.equal(inside.y0, x)


def test_random_instances_lie_on_the_hypotheses_or_within():
    for equation in EQUATIONS:
        found = random_instance(equation, 300, 2, generator(5), pieces=3)
        shapes = [(3, 300, 2, 2)] * 2 + [(3, 300, 2)] * 2 + [(300, 2)] * 2
        assert [tuple(w.shape) for w in found] == shapes
        for A in found[:2]:
            norms = torch.linalg.matrix_norm(A, ord=2)
            torch.testing.assert_close(norms, torch.ones(3, 300).double(), rtol=1e-12, atol=0)
        free = random_instance(equation, 300, 2, generator(5), norm=None)
        sizes = torch.linalg.matrix_norm(free.A1, ord=2)
        assert stats.kstest(sizes.flatten().numpy() / 2, "uniform").pvalue > 1e-3
        assert torch.equal(found.x0.norm(dim=-1) > 0.999, torch.ones(300).bool())
        one = found.take(7)
        assert torch.equal(one.A1, found.A1[:, 7])
        assert torch.equal(one.y0, found.y0[7])


def test_pieces_of_a_network_are_equally_long():
    found = random_instance(7, 2, 2, generator(6), pieces=4)
    assert build(7, found).breakpoints == (0.25, 0.5, 0.75)
    assert ratio(7, found, 4).shape == (2,)


def test_steps_of_the_search_fall_from_the_rate_to_a_hundredth(monkeypatch):
    """Adam moves an entry by the rate at first; biases are not projected, so that they show it."""
    seen, original = [], worst_case.ratio

    def recorded(equation, instance, steps):
        seen.append(([w.detach().clone() for w in instance], steps))
        return original(equation, instance, steps)

    monkeypatch.setattr(worst_case, "ratio", recorded)
    search(7, 2, 6, 2, seed=0)
    moves = [(b[0][3] - a[0][3]).abs().max().item() for a, b in itertools.pairwise(seen)]
    assert moves[0] == pytest.approx(0.05, rel=1e-5)
    assert 0.001 < moves[1] < 0.006  # 0.05 · 0.01^(1/2), the direction may have turned
    assert [steps for _, steps in seen] == [32] * 3
    assert len(search(7, 2, 6, 1, seed=0, pieces=3, steps=3)[0].A1) == 3


def test_a_step_is_as_long_as_the_bounds_of_resnet_s_allow():
    """τ‖A‖² ≤ 2: with ‖A‖ = 2 at least two layers, in one piece."""
    found = random_instance(13, 4, 2, generator(), pieces=1, norm=2.0)
    assert ratio(13, found._replace(A1=found.A1 * (1 - 1e-12)), 2).shape == (4,)
    with pytest.raises(InputError, match="steps must be at least 2"):
        ratio(13, found, 1)
    assert ratio(10, random_instance(10, 4, 2, generator(), pieces=1, norm=2.0), 1).shape == (4,)
