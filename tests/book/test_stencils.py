"""Shares of filters against closed forms, SciPy, and stencils that everybody knows."""

import numpy as np
import pytest
import torch
from scipy import integrate, ndimage, stats

from forward_stability.book.stencils import (
    AVERAGE,
    FIRST,
    SECOND,
    SLOPE,
    energy,
    noise_share,
    p_value,
    projected_share,
    projected_shares,
    share,
    shuffled_shares,
)
from forward_stability.errors import InputError
from forward_stability.models import Network
from forward_stability.spectral import conv_singular_values, symbol

PARTS = {"average": AVERAGE, "first": FIRST, "second": SECOND, "slope": SLOPE}


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=random(seed), dtype=torch.float64)


def impulse_response(operator) -> torch.Tensor:
    """The stencil of a linear operator on images, as SciPy has it."""
    image = np.zeros((3, 3))
    image[1, 1] = 1.0
    return torch.from_numpy(operator(image, mode="constant"))[None, None]


def test_the_parts_are_orthonormal_and_complete():
    basis = torch.cat([AVERAGE, FIRST, SECOND]).flatten(1)
    assert torch.allclose(basis @ basis.T, torch.eye(9).double(), rtol=0, atol=1e-15)
    inside = SLOPE.flatten(1) @ FIRST.flatten(1).T
    assert torch.allclose(inside @ inside.T, torch.eye(2).double(), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("operator", "part"),
    [
        (ndimage.sobel, "first"),
        (ndimage.prewitt, "first"),
        (ndimage.laplace, "second"),
        (lambda image, mode: ndimage.uniform_filter(image, 3, mode=mode), "average"),
    ],
)
def test_known_stencils_lie_in_their_part(operator, part):
    K = impulse_response(operator)
    for name in ("average", "first", "second"):
        assert abs(float(share(K, PARTS[name])) - (name == part)) <= 1e-12, name


def test_slope_by_hand():
    """Prewitt's stencil is in the span; Sobel's has cos² = 8² / (12 * 6) with it."""
    assert abs(float(share(impulse_response(ndimage.prewitt), SLOPE)) - 1) <= 1e-12
    assert abs(float(share(impulse_response(ndimage.sobel), SLOPE)) - 8 / 9) <= 1e-12


def test_energy_is_that_of_the_projection():
    K = noise(4, 5, 3, 3)
    for stencils in PARTS.values():
        basis = stencils.flatten(1)
        projected = torch.einsum("rp,rq,oip->oiq", basis, basis, K.flatten(2))
        expected = torch.linalg.vector_norm(projected, dim=-1) ** 2
        assert torch.allclose(energy(K, stencils), expected, rtol=1e-12, atol=0)
        pooled = expected.sum() / torch.linalg.vector_norm(K) ** 2
        assert abs(float(share(K, stencils) - pooled)) <= 1e-14


def test_a_share_has_no_scale_and_a_batch_is_many_filters():
    K = noise(6, 4, 5, 3, 3)
    together = share(K, FIRST)
    assert together.shape == (6,)
    assert torch.allclose(together, torch.stack([share(1e-3 * k, FIRST) for k in K]), atol=1e-14)


def test_nine_times_the_average_is_the_gain_at_frequency_zero():
    """Against the symbol, and the mean over frequencies against all singular values."""
    K, size = noise(4, 6, 3, 3), (8, 6)
    at_zero = torch.linalg.matrix_norm(symbol(K, size)[0]) ** 2
    mean = conv_singular_values(K, size).square().sum() / (8 * 6)
    assert abs(float(9 * share(K, AVERAGE) - at_zero / mean)) <= 1e-12


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("count", [1, 12])
def test_noise_has_the_stated_distribution(part, count):
    """Kolmogorov and Smirnov's test on 4000 draws, and the mean r / 9."""
    draws = share(noise(4000, count, 1, 3, 3, seed=1), PARTS[part])
    chance = noise_share(PARTS[part], count)
    assert stats.kstest(draws.numpy(), chance.cdf).pvalue > 0.01
    assert abs(chance.mean() - len(PARTS[part]) / 9) <= 1e-15


def test_a_uniform_direction_is_enough_for_one_stencil():
    """Stencils of very different sizes have the same distribution of shares."""
    K = noise(4000, 1, 1, 3, 3, seed=2) * torch.exp(3 * noise(4000, 1, 1, 1, 1, seed=3))
    assert stats.kstest(share(K, FIRST).numpy(), noise_share(FIRST).cdf).pvalue > 0.01


def test_untrained_networks_are_noise():
    """60 filters of first stages: their quantiles under chance are uniform."""
    quantiles = []
    for seed in range(20):
        torch.manual_seed(seed)
        for layer in Network("S", blocks=3).layers[1:4]:
            K = layer.conv.weight
            quantiles.append(noise_share(FIRST, 256).cdf(float(share(K, FIRST))))
    assert stats.kstest(quantiles, "uniform").pvalue > 0.01


@pytest.mark.parametrize("part", PARTS)
def test_projected_noise_by_quadrature(part):
    """The moments of max(z, 0) integrated numerically; the projection as a matrix."""
    density = stats.norm.pdf
    mean = integrate.quad(lambda z: z * density(z), 0, np.inf)[0]
    square = integrate.quad(lambda z: z**2 * density(z), 0, np.inf)[0]
    basis = PARTS[part].flatten(1)
    P = (basis.T @ basis).numpy()
    second = (square - mean**2) * np.eye(9) + mean**2 * np.ones((9, 9))  # E k kᵀ
    expected = np.trace(P @ second) / np.trace(second)
    assert abs(projected_share(PARTS[part]) - expected) <= 1e-9


def test_projected_noise_is_what_resnet_d_starts_with():
    """Draws centred at the closed form; the K2 of 60 untrained layers are such draws."""
    K = torch.empty(16, 16, 3, 3)
    draws = projected_shares(K, AVERAGE, generator=random())
    assert draws.shape == (1000,)
    assert abs(float(draws.mean()) - projected_share(AVERAGE)) <= 4 * float(draws.std()) / 1000**0.5
    values = []
    for seed in range(20):
        torch.manual_seed(seed)
        layers = Network("D", blocks=3).layers[1:4]
        values += [float(share(layer.conv2.weight, AVERAGE)) for layer in layers]
    assert stats.ks_2samp(values, draws.numpy()).pvalue > 0.01


def test_shuffling_keeps_the_numbers_and_is_exact_for_exchangeable_ones():
    """The mean over permutations by hand; p-values of noise are uniform."""
    K = noise(3, 4, 3, 3).abs()
    n, total, square = K.numel(), float(K.sum()), float(K.square().sum())
    product = (total**2 - square) / (n * (n - 1))  # mean of k_a k_b over pairs of places
    expected = 12 * (square / n + 8 * product) / square
    draws = shuffled_shares(K, AVERAGE, 4000, generator=random())
    assert abs(float(draws.mean()) - expected) <= 4 * float(draws.std()) / 4000**0.5

    values = []
    for seed in range(100):
        K = noise(4, 4, 3, 3, seed=seed) ** 3
        chance = shuffled_shares(K, FIRST, 99, generator=random(seed))
        values.append(p_value(share(K, FIRST), chance))
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_p_values_count_draws():
    draws = torch.tensor([0.1, 0.2, 0.3])
    assert p_value(0.25, draws) == 2 / 4
    assert p_value(0.3, draws) == 2 / 4
    assert p_value(0.31, draws) == 1 / 4
    assert p_value(0.0, draws) == 1


def test_other_sizes_are_refused():
    with pytest.raises(InputError, match=r"3x3, got the shape \(2, 2, 5, 5\)"):
        energy(torch.zeros(2, 2, 5, 5), FIRST)
