r"""Randomised smoothing: what chance proves about the answers of any network.

The smoothed network answers with the class that the network gives most often to
:math:`x + \eta`, :math:`\eta \sim \mathcal N(0, \sigma^2)`. If it gives the class t with a
probability of at least p > 1/2, then the smoothed answer is t for every image within

.. math:: R = \sigma\, \Phi^{-1}(p)

of x. The probability is not known; it is bounded from below by counting, and the bound is wrong
with a probability of at most α. So the statement is about another network than the one that
:mod:`~forward_stability.radius` speaks about, and it may be false, with a known probability.
Chapter 15.
"""

import torch
from scipy import special, stats
from torch import Tensor, nn

from forward_stability.errors import InputError


def smoothed_radii(hits: Tensor, samples: int, sigma: float, alpha: float = 0.001) -> Tensor:
    r"""The radius of each image of which so many noisy copies were given the class t.

    :math:`R = \sigma\, \Phi^{-1}(\underline p)` with the lower bound of Clopper and Pearson for
    the probability, which is wrong for at most a share α of all images.

    Args:
        hits: how many of the samples were given the class t, shape ``(batch,)``.
        samples: how many there were.
        sigma: standard deviation of the noise.
        alpha: α, between 0 and 1.

    Returns:
        in float64, of the shape of ``hits``; 0 where p > 1/2 is not shown.

    Raises:
        InputError: if there are more hits than samples, or a number is out of range.

    Source: Cohen, Rosenfeld & Kolter (2019). Chapter 15.
    """
    if not 0 < alpha < 1 or not 0 < sigma < float("inf"):
        raise InputError(f"smoothing needs sigma > 0 and alpha in (0, 1), got {sigma} and {alpha}")
    k = hits.double().numpy()
    if samples < 1 or bool((k < 0).any()) or bool((k > samples).any()):
        raise InputError(f"hits must be between 0 and the number of samples, {samples}")
    # k = 0: the bound is 0, where the beta distribution is not defined
    lower = torch.from_numpy(stats.beta.ppf(alpha, k, samples - k + 1)).nan_to_num(0.0)
    return sigma * torch.from_numpy(special.ndtri(lower.clamp(min=0.5).numpy()))


@torch.no_grad()
def smoothed_answers(
    network: nn.Module,
    images: Tensor,
    sigma: float,
    *,
    first: int = 100,
    samples: int = 1000,
    random: torch.Generator,
    batch_size: int = 500,
) -> tuple[Tensor, Tensor]:
    """The class of the smoothed network for each image, and how often it came.

    The class is chosen by the first samples and counted in others, so that the choice does not
    favour the count.

    Args:
        network: any, in evaluation mode, on the CPU.
        images: shape ``(batch, channels, height, width)``.
        sigma: standard deviation of the noise.
        first: samples that choose the class.
        samples: samples in which it is counted.
        random: draws the noise.
        batch_size: samples at a time.

    Returns:
        classes and counts, both of shape ``(batch,)``.

    Source: Cohen, Rosenfeld & Kolter (2019). Chapter 15.
    """
    if first < 1 or samples < 1:
        raise InputError(f"smoothing needs samples, got {first} and {samples}")

    def counts(image: Tensor, number: int) -> Tensor:
        found = []
        for part in torch.arange(number).split(batch_size):
            noise = torch.randn((len(part), *image.shape), generator=random, dtype=image.dtype)
            scores = network(image + sigma * noise)
            found.append(torch.bincount(scores.argmax(1), minlength=scores.shape[1]))
        return torch.stack(found).sum(0)

    classes = torch.stack([counts(image, first).argmax() for image in images])
    hits = [counts(x, samples)[t] for x, t in zip(images, classes, strict=True)]
    return classes, torch.stack(hits)
