"""Smoothing against closed forms: the binomial distribution, and networks whose radius is known."""

import numpy as np
import pytest
import torch
from scipy import stats

from forward_stability.errors import InputError
from forward_stability.smoothing import smoothed_answers, smoothed_radii


@pytest.mark.parametrize("alpha", [0.001, 0.05])
@pytest.mark.parametrize("samples", [1, 7, 100])
def test_the_bound_is_wrong_at_most_as_often_as_it_says_and_nearly_so_often(samples, alpha):
    """For each p the chance, by the binomial distribution, of a radius above the true one."""
    hits = torch.arange(samples + 1)
    radii = smoothed_radii(hits, samples, 1.0, alpha).numpy()
    worst = 0.0
    edges = stats.norm.cdf(radii[radii > 0])
    for p in [*np.linspace(0.501, 0.999, 50), *(edges - 1e-9)]:
        too_far = radii > stats.norm.ppf(p)
        worst = max(worst, stats.binom.pmf(hits.numpy(), samples, p)[too_far].sum())
    assert worst <= alpha
    if radii[-1] > 0:
        assert worst > 0.99 * alpha  # just below the bound of all hits the chance is alpha


def test_radii_of_counts():
    radii = smoothed_radii(torch.tensor([0, 500, 990, 1000]), 1000, 0.25, 0.001)
    assert radii.dtype == torch.float64
    low = stats.binomtest(990, 1000, alternative="greater").proportion_ci(0.999, "exact").low
    expected = [0, 0, 0.25 * stats.norm.ppf(low), 0.25 * stats.norm.ppf(0.001 ** (1 / 1000))]
    np.testing.assert_allclose(radii, expected, rtol=1e-12, atol=1e-15)


class Halves(torch.nn.Module):
    """Class 1 where the first pixel is above 0.2: the smoothed radius is the distance to 0.2."""

    def forward(self, x):
        return torch.stack([0.2 - x[:, 0, 0, 0], x[:, 0, 0, 0] - 0.2], dim=1)


def test_a_half_space_has_its_distance_as_radius():
    images = torch.zeros(4, 1, 2, 2)
    images[:, 0, 0, 0] = torch.tensor([0.0, 0.1, 0.5, 0.8])
    random = torch.Generator().manual_seed(0)
    classes, hits = smoothed_answers(Halves(), images, 0.5, samples=20_100, random=random)
    assert classes.tolist() == [0, 0, 1, 1]
    radii = smoothed_radii(hits, 20_100, 0.5)
    distances = torch.tensor([0.2, 0.1, 0.3, 0.6])
    assert (radii < distances).all()
    # 4 standard deviations of the count on the radius: sigma / density / sqrt(4 n)
    allowed = 0.5 * 4 / np.sqrt(4 * 20_100) / stats.norm.pdf(distances.numpy() / 0.5)
    assert (distances - radii <= 2 * torch.from_numpy(allowed)).all()
    again = smoothed_answers(Halves(), images, 0.5, samples=20_100, random=random.manual_seed(0))
    assert torch.equal(again[1], hits)


def test_what_cannot_be_meant_is_refused():
    one = torch.tensor([1])
    for arguments in (
        (one, 1, 0.0),
        (one, 1, float("inf")),
        (one, 1, 1.0, 0.0),
        (one, 1, 1.0, 1.0),
    ):
        with pytest.raises(InputError, match="smoothing needs sigma > 0"):
            smoothed_radii(*arguments)
    for hits, samples in ((one, 0), (2 * one, 1), (-one, 1)):
        with pytest.raises(InputError, match="hits must be between 0"):
            smoothed_radii(hits, samples, 1.0)
    for numbers in ({"first": 0}, {"samples": 0}):
        with pytest.raises(InputError, match="smoothing needs samples"):
            smoothed_answers(Halves(), torch.zeros(1, 1, 1, 1), 1.0, random=None, **numbers)
