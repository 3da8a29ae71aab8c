r"""Attacks on the answer of a network: small perturbations that change it.

One follows the gradient, the other asks for scores alone, and does not mind a gradient that
vanishes or misleads. Both are the other side of a certified radius
(:mod:`~forward_stability.radius`). Chapter 15.
"""

import torch
from torch import Tensor, nn

from forward_stability.errors import InputError


def pgd_attack(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    radius: Tensor,
    *,
    steps: int = 100,
    restarts: int = 10,
    box: tuple[float, float] | None = (0.0, 1.0),
    random: torch.Generator,
) -> Tensor:
    r"""Projected gradient descent inside an ℓ2 ball around each image, towards another answer.

    Each restart begins at a random point of the ball and aims at one other class, first at that
    with the second largest score, then at the next: steps along the normalised gradient of
    :math:`y_t - y_j`, of a length that falls from 2r to 0. An image is left alone once it is
    misclassified.

    Args:
        network: any, in evaluation mode; the attack runs on its device.
        images: in [0, 1], of its dtype, shape ``(batch, channels, height, width)``.
        labels: t, shape ``(batch,)``.
        radius: r of each ball, shape ``(batch,)``.
        steps: of the descent.
        restarts: how often it begins anew.
        box: what pixel values are kept to; None for any.
        random: draws the starts, on the CPU.

    Returns:
        the perturbed images, of the shape of ``images`` and on their device; an image itself where
        the attack failed.

    Source: Madry et al. (2018), with a target a restart. Chapter 15.
    """
    if steps < 1 or restarts < 1:
        raise InputError(f"an attack needs steps and restarts, got {steps} and {restarts}")
    home, device = images.device, _device(network, images)
    images, labels, radius = images.to(device), labels.to(device), radius.to(device)
    found = images.clone()
    with torch.no_grad():
        scores = network(images)
        order = scores.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)[:, :-1]
    if not order.shape[1]:  # a single class, and no other answer
        return found.to(home)
    left = torch.arange(len(images), device=device)[scores.argmax(1) == labels]
    for restart in range(restarts):
        if not len(left):
            break
        x, t, r = images[left], labels[left], _image(radius[left].to(images.dtype))
        target = order[left, restart % order.shape[1]]
        direction = torch.randn(x.shape, generator=random, dtype=x.dtype).to(device)
        length = torch.rand(len(x), generator=random, dtype=x.dtype) ** (1 / x[0].numel())
        start = x + _unit(direction) * r * _image(length.to(device))
        y = _project(x, start, r, box)
        active = torch.ones(len(left), dtype=torch.bool, device=device)
        for step in range(steps):
            y.requires_grad_()
            scores = network(y)
            wrong = scores.argmax(1) != t
            gap = scores.gather(1, t[:, None]) - scores.gather(1, target[:, None])
            (gradient,) = torch.autograd.grad(gap.sum(), y)
            with torch.no_grad():
                found[left[active][wrong]] = y[wrong]
                active[active.clone()] = ~wrong
                x, t, r, target = x[~wrong], t[~wrong], r[~wrong], target[~wrong]
                y = y[~wrong] - _unit(gradient[~wrong]) * r * (2 - 2 * step / steps)
                y = _project(x, y, r, box)
            if not len(y):
                break
        with torch.no_grad():
            if len(y):
                wrong = network(y).argmax(1) != t
                found[left[active][wrong]] = y[wrong]
                active[active.clone()] = ~wrong
        left = left[active]
    return found.to(home)


@torch.no_grad()
def search_attack(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    radius: Tensor,
    *,
    steps: int = 1000,
    box: tuple[float, float] | None = (0.0, 1.0),
    random: torch.Generator,
) -> Tensor:
    r"""Random search on the l2 sphere around each image, towards any other answer; no gradient.

    The perturbation of length r begins at random. Step i of n adds to a random square of :math:`s
    \times s` pixels of it one number for each channel, :math:`\pm \tfrac{r}{8s} (1 - \tfrac in)`,
    scales the sum back to length r, and keeps it if :math:`y_t - \max_{j \ne t} y_j` falls. The
    squares shrink from half of the image to a pixel. An image is left alone once it is
    misclassified.

    Args:
        network, images, labels, radius, box, random: as for :func:`pgd_attack`.
        steps: of the search, each with one evaluation.

    Returns:
        as :func:`pgd_attack`.

    Source: in the manner of Andriushchenko et al. (2020). Chapter 15.
    """
    if steps < 1:
        raise InputError(f"a search needs steps, got {steps}")
    home, device = images.device, _device(network, images)
    images, labels, radius = images.to(device), labels.to(device), radius.to(device)
    found = images.clone()

    def margin(y: Tensor, t: Tensor) -> Tensor:
        scores, own = network(y), t[:, None]
        return scores.gather(1, own)[:, 0] - scores.scatter(1, own, -torch.inf).amax(1)

    left = torch.arange(len(images), device=device)[margin(images, labels) >= 0]
    x, t, r = images[left], labels[left], _image(radius[left].to(images.dtype))
    n, (channels, height, width) = len(left), images.shape[1:]
    unit = torch.randn(x.shape, generator=random, dtype=x.dtype).to(device)
    least = torch.full((n,), torch.inf, dtype=x.dtype, device=device)
    for step in range(steps):
        rest = 1 - step / steps
        side = max(1, round(min(height, width) / 2 * rest**2))
        within = []
        for pixels in (height, width):
            first = torch.randint(0, pixels - side + 1, (n, 1), generator=random)
            at = torch.arange(pixels) - first
            within.append((at >= 0) & (at < side))
        square = (within[0][:, None, :, None] & within[1][:, None, None, :]).to(device)
        sign = torch.randint(0, 2, (n, channels, 1, 1), generator=random).to(device, x.dtype)
        change = square * (2 * sign - 1) * (rest / (8 * side))
        tried = _unit(unit + change if step else unit)
        y = _project(x, x + r * tried, r, box)
        gap = margin(y, t)
        found[left[gap < 0]] = y[gap < 0]
        unit = torch.where(_image(gap < least), tried, unit)
        least, keep = torch.minimum(gap, least), gap >= 0
        left, x, t, r, unit, least = (v[keep] for v in (left, x, t, r, unit, least))
        n = len(left)
        if not n:
            break
    return found.to(home)


def _device(network: nn.Module, images: Tensor) -> torch.device:
    """That of the network, or of the images if it has no parameters."""
    first = next(network.parameters(), images) if isinstance(network, nn.Module) else images
    return first.device


def _unit(v: Tensor) -> Tensor:
    return v / _image(v.flatten(1).norm(dim=1).clamp_min(1e-30))


def _project(x: Tensor, y: Tensor, r: Tensor, box: tuple[float, float] | None) -> Tensor:
    """The nearest point of the ball, then of the box, which does not leave the ball again."""
    d = y - x
    y = x + d * (r / _image(d.flatten(1).norm(dim=1).clamp_min(1e-30))).clamp_max(1)
    return y if box is None else y.clamp(*box)


def _image(values: Tensor) -> Tensor:
    return values[:, None, None, None]
