"""The corruptions of Eq. 28."""

import pytest
import torch
from scipy import stats

from forward_stability.errors import InputError
from forward_stability.experiments import noise


def test_unstructured_noise_is_normal_and_seeded():
    images = torch.full((4, 3, 64, 64), 0.5)
    drawn = lambda seed, sigma: (  # noqa: E731
        noise.unstructured_noise(images, sigma, torch.Generator().manual_seed(seed)) - images
    )
    assert torch.equal(drawn(0, 0.05), drawn(0, 0.05))
    assert not torch.equal(drawn(0, 0.05), drawn(1, 0.05))
    assert stats.kstest((drawn(0, 0.05) / 0.05).flatten().numpy(), "norm").pvalue > 1e-3
    assert torch.equal(drawn(0, 0.0), torch.zeros_like(images))


def test_structured_noise_adds_a_multiple_of_one_image():
    images = torch.rand(5, 3, 4, 4)
    x0 = torch.rand(3, 4, 4)
    found = noise.structured_noise(images, x0, 0.25)
    assert all(torch.equal(a, b + 0.25 * x0) for a, b in zip(found, images, strict=True))


def test_impossible_noise_is_refused():
    images = torch.rand(1, 3, 4, 4)
    with pytest.raises(InputError, match="sigma must be at least 0"):
        noise.unstructured_noise(images, -0.1, torch.Generator())
    with pytest.raises(InputError, match="epsilon must be at least 0"):
        noise.structured_noise(images, images[0], float("nan"))
    with pytest.raises(InputError, match="sigma must be at least 0 and finite"):
        noise.unstructured_noise(images, float("inf"), torch.Generator())
    with pytest.raises(InputError, match="epsilon must be at least 0 and finite"):
        noise.structured_noise(images, images[0], float("inf"))
    with pytest.raises(InputError, match="x0 must have the shape"):
        noise.structured_noise(images, images, 0.1)


def test_seeded_numbers_are_those_of_numpys_old_generator():
    """Its first numbers for the seed 0, as they are printed everywhere."""
    found = noise.seeded_normal((2, 2), 0)
    expected = [[1.764052345967664, 0.4001572083672233], [0.9787379841057392, 2.240893199201458]]
    assert found.tolist() == expected
    assert found.dtype == torch.float64


def test_no_noise_is_allowed_and_types_are_kept():
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(noise.structured_noise(images, images[0], 0.0), images)
    found = noise.structured_noise(images, images[0].double(), 0.5)
    assert found.dtype == torch.float32
    assert noise.unstructured_noise(images.double(), 0.1, torch.Generator()).dtype == torch.float64
