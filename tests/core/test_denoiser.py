"""The denoiser and plug-and-play, against dense matrices."""

from math import sqrt

import numpy as np
import pytest
import torch
from test_averaged import excess, least_kappa
from torch import Tensor

from forward_stability.averaged import residual_bound
from forward_stability.denoiser import Denoiser, plug_and_play, plug_and_play_constant
from forward_stability.errors import InputError
from forward_stability.operators import conv, conv_matrix

SIZE = (5, 6)


def denoiser(theta: float, seed: int = 0, width: int = 4, depth: int = 3) -> Denoiser:
    """Random weights far outside the ball, so that every norm is on its boundary."""
    torch.manual_seed(seed)
    network = Denoiser(width, depth)
    network.constrain_(SIZE, theta)
    for layer in network.layers:
        torch.nn.init.normal_(layer.bn1.bias, std=0.3)
        torch.nn.init.normal_(layer.bn2.bias, std=0.1)
    return network.double().requires_grad_(False)


def blur() -> Tensor:
    wave = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    return (wave[:, None] * wave)[None, None]


def test_the_image_is_where_the_padding_puts_it():
    network = Denoiser(width=5, depth=2).double()
    for layer in network.layers:
        torch.nn.init.zeros_(layer.conv.weight)
    x = 2 * torch.rand(3, 1, *SIZE, dtype=torch.float64) - 0.5
    assert torch.equal(network(x), x.clamp(0, 1))
    with pytest.raises(InputError, match="grey images, got 3"):
        network(x.reshape(1, 3, *SIZE))


def test_it_is_what_dense_matrices_say():
    network = denoiser(0.75)
    x = torch.rand(2, 1, *SIZE, dtype=torch.float64)
    z = torch.zeros(2, 4, 30, dtype=torch.float64)
    z[:, 1] = x.flatten(1)
    z = z.flatten(1)
    for layer in network.layers:
        A = conv_matrix(layer.conv.weight, SIZE)
        b1, b2 = (b.bias.repeat_interleave(30) for b in (layer.bn1, layer.bn2))
        z = torch.relu(z - torch.relu(z @ A.T + b1) @ A - b2)
    expected = z.unflatten(1, (4, *SIZE))[:, 1:2].clamp(0, 1)
    assert torch.allclose(network(x), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("theta", [0.5, 0.75])
def test_its_constant(theta: float):
    network = denoiser(theta)
    norms = [
        float(torch.linalg.matrix_norm(conv_matrix(layer.conv.weight, SIZE), 2))
        for layer in network.layers
    ]
    assert max(norms) <= sqrt(2 * theta)
    assert max(norms) > 0.95 * sqrt(2 * theta)
    expected = sum(1 + n**2 / (2 - n**2) for n in norms) + 1
    assert network.constant(SIZE) == pytest.approx(expected, rel=1e-10)
    assert network.constant(SIZE) <= 3 * (1 + theta / (1 - theta)) + 1 + 1e-9
    random = torch.Generator().manual_seed(1)
    x = torch.rand(500, 1, *SIZE, generator=random, dtype=torch.float64)
    step = 10 ** torch.linspace(-4, 0, 500, dtype=torch.float64)[:, None, None, None]
    y = x + step * torch.randn(x.shape, generator=random, dtype=torch.float64)

    def flat(z: Tensor) -> Tensor:
        return network(z.reshape(-1, 1, *SIZE)).flatten(1)

    assert excess(flat, x.flatten(1), y.flatten(1), network.constant(SIZE)) <= 1e-13


def test_jacobians_keep_the_constant_of_the_whole_step():
    """A dense Jacobian of one step of plug-and-play, at inputs inside the cube."""
    network, K, beta, s = denoiser(0.75, seed=3), blur(), 0.6, 1.5
    kappa = plug_and_play_constant(network, K, SIZE, beta, s)
    y = torch.rand(1, 1, *SIZE, dtype=torch.float64)
    assert kappa > 1.5 / 0.5 + 1  # with the norm of the blur, which is 1

    def step(x: Tensor) -> Tensor:
        z = (x - s * conv(conv(x, K) - y, K)).clamp(0, 1)
        return (1 - beta) * z + beta * network(z)

    for seed in range(5):
        x = torch.rand(y.shape, generator=torch.Generator().manual_seed(seed)).double()
        J = torch.autograd.functional.jacobian(step, x).reshape(30, 30).numpy()
        assert np.linalg.norm(J, 2) <= 1
        assert least_kappa(J) <= kappa


def test_a_filter_beyond_the_hypothesis_has_no_constant():
    network = Denoiser(width=2, depth=1)
    torch.nn.init.constant_(network.layers[0].conv.weight, 0.2)
    with pytest.raises(InputError, match="must be below 2"):
        network.constant(SIZE)
    for theta in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="theta must be"):
            network.constrain_(SIZE, theta)


def test_plug_and_play_is_its_formula_and_converges_as_proven():
    network, K, beta = denoiser(0.5), blur(), 0.7
    clean = torch.rand(2, 1, *SIZE, dtype=torch.float64)
    B = conv_matrix(K, SIZE).numpy()
    y = conv(clean, K) + 0.1 * torch.randn(clean.shape, dtype=torch.float64)
    run = plug_and_play(network, K, y, 400, beta, s=1.2)
    x = y.clamp(0, 1).flatten(1).numpy()
    for k in range(3):
        assert np.allclose(run.x[k].flatten(1), x, rtol=0, atol=1e-14)
        z = np.clip(x - 1.2 * (x @ B.T - y.flatten(1).numpy()) @ B, 0, 1)
        D = network(torch.from_numpy(z).reshape(2, 1, *SIZE)).flatten(1).numpy()
        new = (1 - beta) * z + beta * D
        residual = np.linalg.norm(new - x, axis=1)
        assert np.allclose(run.residuals[k], residual, rtol=1e-12, atol=0)
        x = new
    assert run.x.shape == (401, 2, 1, *SIZE)
    assert bool((run.residuals[1:] <= run.residuals[:-1] + 1e-14).all())
    assert bool((run.residuals[-1] < 1e-9).all())
    distance = (run.x[0] - run.x[-1]).flatten(1).norm(dim=1)
    kappa = plug_and_play_constant(network, K, SIZE, beta, s=1.2)
    for k in range(400):
        assert run.residuals[k].max() <= residual_bound(kappa, float(distance.max()), k) + 1e-12


def test_a_step_downhill_must_be_short_enough():
    with pytest.raises(InputError, match="must be below 2"):
        plug_and_play_constant(denoiser(0.5), blur(), SIZE, s=2.0)
