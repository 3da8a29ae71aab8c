"""What the live figures compute with is what the package computes, on random and on worst cases."""

import json
from fractions import Fraction
from math import cos, inf, isinf, radians, sin
from typing import Any

import numpy as np
import pytest
import torch
from builders import exact as fractions
from builders import positive

import forward_stability as fs
from forward_stability import averaged
from forward_stability.book.live.compose import compose
from forward_stability.book.live.figure import evaluate
from forward_stability.multipliers import lipschitz
from forward_stability.prox import relu

NAMES = {
    "algebra": "apply, multiply, singularValues, spectralNorm, transpose",
    "steps": "force, path, step, velocity",
    "flow": "flow",
    "multipliers": "best, edge, proven, stretch, uniform",
    "contours": "contours, corners",
    "averaged": "lasting, lengths, orbit, residualBound",
}
MODULE = compose(
    "entry",
    {
        "entry": "".join(f'import {{ {n} }} from "./{m}.js";\n' for m, n in NAMES.items())
        + f"export default {{ {', '.join(NAMES.values())} }};\n"
    },
)
torch.manual_seed(0)


def call(function: str, *arguments: Any) -> Any:
    given = (a.tolist() if isinstance(a, torch.Tensor) else a for a in arguments)
    return evaluate(MODULE, f"exported.{function}({', '.join(map(json.dumps, given))})")


def exact(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def matrices() -> list[torch.Tensor]:
    """Random ones of several shapes and sizes of entries, and those that are hard."""
    random = [
        scale * torch.randn(n, m, dtype=torch.float64)
        for scale in (1e-150, 1e-3, 1.0, 1e150)
        for n, m in ((1, 1), (2, 2), (2, 3), (3, 2), (4, 4), (8, 8), (1, 5), (5, 1))
    ]
    one = torch.ones(3, 3, dtype=torch.float64)  # rank one
    turned = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q  # equal singular values
    close = torch.eye(2, dtype=torch.float64) + 1e-9 * torch.randn(2, 2, dtype=torch.float64)
    nearly = torch.tensor([[1.0, 1.0], [0.0, 1e-12]], dtype=torch.float64)
    return [*random, one, torch.zeros(2, 2, dtype=torch.float64), turned, close, nearly]


@pytest.mark.parametrize("A", matrices(), ids=lambda A: f"{A.shape[0]}x{A.shape[1]}")
def test_singular_values(A: torch.Tensor):
    wanted = torch.linalg.svdvals(A)
    found = exact(call("singularValues", A))
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= 1e-14 * len(A) * float(wanted[0])
    assert call("spectralNorm", A) == found[0]


def test_products():
    A, B = torch.randn(3, 4, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    x = torch.randn(4, dtype=torch.float64)
    assert torch.allclose(exact(call("multiply", A, B)), A @ B, atol=1e-14)
    assert torch.allclose(exact(call("apply", A, x)), A @ x, atol=1e-14)
    assert call("transpose", A) == A.T.tolist()


@pytest.mark.parametrize("tau", [0.01, 0.5, 3.0])
@pytest.mark.parametrize("symmetric", [False, True])
def test_layers_with_contact_at_the_wall(tau: float, symmetric: bool):
    for _ in range(50):
        A1, A2 = torch.randn(2, 3, 3, dtype=torch.float64)
        A2 = A1.T if symmetric else A2
        b1, b2 = torch.randn(2, 3, dtype=torch.float64)
        x = relu(torch.randn(3, dtype=torch.float64))

        def force(v, A1=A1, A2=A2, b1=b1, b2=b2):
            return A2 @ relu(A1 @ v + b1) - b2

        wanted = fs.forward_backward_step(x, force, tau)
        F = call("force", x, A1, A2, b1, b2)
        assert torch.allclose(exact(F), force(x), rtol=0, atol=1e-13)
        found = exact(call("step", x, F, tau))
        assert torch.allclose(found, wanted, rtol=0, atol=1e-12)
        assert bool(((found == 0) == (wanted == 0)).all())


def run_flow(A1, A2, b1, b2, x, time: float, steps: int) -> torch.Tensor:
    weights = ", ".join(json.dumps(w.tolist()) for w in (A1, A2, b1, b2))
    force = f"z => exported.force(z, {weights})"
    call_ = f"exported.flow({json.dumps(x.tolist())}, {force}, {time}, {steps})"
    return exact(evaluate(MODULE, call_))


def test_the_flow_against_the_package_with_contacts_and_releases():
    random, contacts = torch.Generator().manual_seed(1), 0
    for _ in range(20):
        A1, A2 = 1.5 * torch.randn(2, 2, 2, generator=random, dtype=torch.float64)
        b1, b2 = torch.randn(2, 2, generator=random, dtype=torch.float64)
        x = torch.rand(2, generator=random, dtype=torch.float64)
        times = fs.time_grid(2.0, 500)
        wanted = fs.slow_solution(fs.ResNetFlow(A1, A2, b1, b2), x, times)
        contacts += len(wanted.events)
        found = run_flow(A1, A2, b1, b2, x, 2.0, 500)
        size = 1 + float(abs(wanted.path).max())
        assert float((found - torch.from_numpy(wanted.path)).abs().max()) <= 4e-6 * size
    assert contacts >= 10


def test_the_flow_on_a_circle_that_meets_no_wall():
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    centre, high = exact([1.2, 1.0]), torch.full((2,), 50.0, dtype=torch.float64)
    x = exact([1.7, 1.0])
    found = run_flow(torch.eye(2), -turn, high, -turn @ (centre + high), x, 6.0, 3000)
    angle = torch.linspace(0, 6.0, 3001, dtype=torch.float64)
    wanted = centre + 0.5 * torch.stack([angle.cos(), angle.sin()], 1)
    assert float((found - wanted).abs().max()) <= 1e-12


def layers() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A1 and A2 of two hidden units: random and scaled ones, and those that are hard."""
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    random = {f"random {i}": (draw(2, d), draw(d, 2)) for i, d in enumerate((1, 2, 2, 3, 5))}
    A1, A2 = random["random 1"]
    flat = torch.ones(2, 2, dtype=torch.float64)
    scaled = {f"scaled {s}": (A1 * s, A2 / s) for s in (1e-100, 1e-9, 1e100)}
    hard = {
        "symmetric": (A1, A1.T),
        "far": (1e3 * A1, A2),
        "parallel": (A1, flat),
        "against": (flat, -flat),
        "silent": (A1, A2 * exact([1.0, 0.0])),
    }
    return random | scaled | hard


def is_proven(L: float, A1: torch.Tensor, A2: torch.Tensor, T: torch.Tensor) -> bool:
    """Whether M of L² = 1 + ρ is positive definite, in fractions."""
    one, two, t = (fractions(value) for value in (A1, A2, T))
    B = two - one.T * t
    eye = np.eye(len(two), dtype=int)
    corner = 2 * np.diag(t) - two.T @ two
    return positive(np.block([[(Fraction(L) ** 2 - 1) * eye, B], [B.T, corner]]))


def proven(A1: torch.Tensor, A2: torch.Tensor, T: Any) -> float:
    """What the figure says; JSON has no infinity."""
    given = ", ".join(
        json.dumps(torch.as_tensor(a, dtype=torch.float64).tolist()) for a in (A1, A2, T)
    )
    return float(evaluate(MODULE, f"String(exported.proven({given}))"))


@pytest.mark.parametrize("name", layers())
def test_what_multipliers_prove_is_exact_to_the_twelfth_digit(name: str):
    A1, A2 = layers()[name]
    same, known = call("uniform", A1, A2), 0
    norms = [float(torch.linalg.matrix_norm(A, ord=2)) for A in (A1, A2)]
    assert same == pytest.approx(norms[1] / norms[0] + norms[1] ** 2, rel=1e-13)
    assert is_proven((1 + norms[0] * norms[1]) * (1 + 1e-13), A1, A2, exact([same, same]))
    low = 1e-3
    for factors in ((1, 1), (1, 4), (4, 1), (0.7, 1.5), (low, 1), (1, low), (low, low), (99, 99)):
        T = same * exact(factors)
        L = proven(A1, A2, T)
        if isinf(L):
            assert not is_proven(1e200, A1, A2, T)
            continue
        known += 1
        assert is_proven(L * (1 + 1e-12), A1, A2, T)
        assert not is_proven(L * (1 - 1e-12), A1, A2, T)
    assert known >= 3


@pytest.mark.parametrize("name", layers())
def test_the_best_multipliers_are_those_of_the_package(name: str):
    A1, A2 = layers()[name]
    least = proven(A1, A2, call("best", A1, A2))
    wanted = lipschitz(A1, A2, precision=1e-7)
    assert least == pytest.approx(wanted.constant, rel=1e-6)
    sets = torch.cartesian_prod(*[exact([0.0, 1.0])] * 2)
    steps = torch.eye(len(A2)) - A2 @ (sets.reshape(-1, 2, 1) * A1)
    stretch = float(torch.linalg.matrix_norm(steps, ord=2).max())
    assert call("stretch", A1, A2) == pytest.approx(stretch, rel=1e-13)
    assert stretch <= least * (1 + 1e-12)


@pytest.mark.parametrize("name", layers())
def test_at_the_edge_multipliers_cease_to_prove_anything(name: str):
    A1, A2 = layers()[name]
    T1 = 0.7 * float(A2[:, 0] @ A2[:, 0])
    T2 = call("edge", A2, T1)
    ends = torch.linalg.eigvalsh(2 * torch.diag(exact([T1, T2])) - A2.T @ A2)
    assert float(ends[0].abs()) <= 1e-13 * float(ends[1])
    near = 1e-9 * max(T1, T2)
    assert proven(A1, A2, [T1, T2 + near]) < inf
    assert proven(A1, A2, [T1, T2 - near]) == inf
    assert proven(A1, A2, [T1 / 1.5, 1e9 * near * 9]) == inf
    assert proven(A1, A2, [-T1, T2]) == inf


def draw_contours(function: str, levels: list[float]) -> list[list[np.ndarray]]:
    """The lines of each level on the square from -1 to 2."""
    call_ = f"""((places) => exported.contours(
        places.map((x) => places.map((y) => {function})), {levels}, places, "bound",
    ))(exported.corners(-1, 2))"""
    return [[np.array(piece) for piece in mark["pieces"]] for mark in evaluate(MODULE, call_)]


def test_level_lines_are_closed_or_end_at_the_border():
    (ring,), nothing = draw_contours("x * x + y * y", [0.49, 9])
    assert nothing == []
    assert (ring[0] == ring[-1]).all()
    assert abs(np.hypot(*ring.T) - 0.7).max() <= 1e-3
    angles = np.unwrap(np.arctan2(*ring.T))
    assert abs(angles[-1] - angles[0]) == pytest.approx(2 * np.pi)
    assert (np.sign(np.diff(angles)) == np.sign(angles[-1] - angles[0])).all()

    for slope, level in (
        (2, 0.7),
        (48, 0.5),
        (48, 1.0),
    ):  # 48: from one column of cells to the next
        (line,) = draw_contours(f"{slope} * x + y", [level])[0]
        assert abs(slope * line[:, 0] + line[:, 1] - level).max() <= 1e-12
        assert sorted(line[[0, -1], 1]) == pytest.approx([-1, 2])
    (line,) = draw_contours("x", [0])[0]  # along corners
    assert len(line) == 49
    assert not line[:, 0].any()

    wave = draw_contours("x * y * y - y", [0.3])[0]
    assert len(wave) == 2
    for x, y in (z for piece in wave for z in piece):
        assert abs(x * y * y - y - 0.3) <= 5e-3
    assert all(abs(np.diff(piece, axis=0)).max() <= 3 / 48 + 1e-12 for piece in wave)


@pytest.mark.parametrize("theta", [0.02, 0.25, 0.5, 0.9, 0.999])
def test_averaged_turns_are_shorter_than_proven_and_one_nearly_as_long(theta):
    """The turn that lasts has the step e^(-1/2) of the bound, where a turn can last so long."""
    kappa = theta / (1 - theta)
    x = torch.tensor([0.6, -1.1], dtype=torch.float64)
    for k in (0, 3, 40):
        angle = call("lasting", theta, k)
        T = (1 - theta) * torch.eye(2, dtype=torch.float64)
        c, s = cos(radians(angle)), sin(radians(angle))
        T += theta * torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
        places = [x]
        for _ in range(k + 1):
            places.append(T @ places[-1])
        found = call("orbit", x, theta, angle, k + 1)
        torch.testing.assert_close(exact(found), torch.stack(places), rtol=1e-12, atol=1e-14)
        length = call("lengths", found)[k]
        assert length == pytest.approx(float((places[k] - places[k + 1]).norm()), rel=1e-11)
        bound = call("residualBound", theta, float(x.norm()), k)
        proven = averaged.residual_bound(kappa, float(x.norm()), k)
        assert bound == pytest.approx(proven, rel=1e-12)
        assert length <= proven
        if 4 * theta * (1 - theta) * (k + 1) >= 1:
            assert length / bound == pytest.approx((k / (k + 1)) ** (k / 2), rel=1e-9)
