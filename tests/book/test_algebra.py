"""What the live figures compute with is what the package computes, on random and on worst cases."""

import json
from typing import Any

import pytest
import torch

import forward_stability as fs
from forward_stability.book.live.compose import compose
from forward_stability.book.live.figure import evaluate
from forward_stability.prox import relu

NAMES = {
    "algebra": "apply, multiply, singularValues, spectralNorm, transpose",
    "steps": "force, path, step, velocity",
    "flow": "flow",
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
