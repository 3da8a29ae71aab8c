r"""An attack on the answer of a network: a small perturbation that changes it, by gradient descent.

It is the other side of a certified radius (:mod:`~forward_stability.radius`). Chapter 15.
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
