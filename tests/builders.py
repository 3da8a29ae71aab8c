"""Networks, flows and pictures that several test modules build."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from forward_stability.certificates import certify_layers
from forward_stability.constraint import constrain, initialise_
from forward_stability.experiments import training
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import load_tensors
from forward_stability.flow import (
    Piecewise,
    ResNetDFlow,
    ResNetFlow,
    ResNetSFlow,
)
from forward_stability.folding import (
    FoldedConv,
    FoldedFlattening,
    FoldedLinear,
    features,
)
from forward_stability.layer import Folded
from forward_stability.models import Network
from forward_stability.radius import Certifier, row_distances
from forward_stability.report import Report
from forward_stability.spectral import trained_weight

SIZE = (8, 6)
"""The height and width of images where no other is said."""


def exact(x: torch.Tensor) -> np.ndarray:
    """The numbers as fractions, which Python computes with without rounding."""
    return np.vectorize(Fraction)(x.numpy().astype(object))


def positive(M: np.ndarray) -> bool:
    """Whether a matrix of fractions is positive definite, by elimination without rounding."""
    M = M.copy()
    for k in range(len(M)):
        if M[k, k] <= 0:
            return False
        M[k + 1 :] -= np.outer(M[k + 1 :, k] / M[k, k], M[k])
    return True


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def trained_like(variant: str, blocks: int = 2, width: int = 3) -> Network:
    """A network whose batch normalisations have statistics far from 0 and 1."""
    network = Network(variant, blocks, width=width, channels=2, classes=4).double().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.3, 3)
            if module.affine:
                module.weight.data.uniform_(0.3, 2)
                module.bias.data.normal_()
    return network


def random_inputs(count: int, size=SIZE, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of all magnitudes: noise, constant images, zero; near to one another and far apart."""
    scale = 10 ** torch.empty(count, 1, 1, 1, dtype=torch.float64).uniform_(-2, 3)
    x = randn(count, channels, *size) * scale
    x[::4] = x[::4].mean((-2, -1), keepdim=True)
    x[0] = 0
    v = randn(count, channels, *size)
    v[1::3] = v[1::3].mean((-2, -1), keepdim=True)
    return x, x + v * 10 ** torch.empty(count, 1, 1, 1, dtype=torch.float64).uniform_(-3, 3)


def assert_no_violation(
    layers: list[Folded], report: Report, x: torch.Tensor, y: torch.Tensor
) -> None:
    """Layer by layer and as a whole, for a batch of pairs."""
    X, Y = features(layers, x), features(layers, y)
    tiny = 1 + 1e-9
    for n, r in enumerate(report.layers):
        before, after = (X[n] - Y[n]).flatten(1).norm(dim=1), (X[n + 1] - Y[n + 1]).flatten(1)
        assert bool((after.norm(dim=1) <= r.lipschitz * before * tiny + 1e-12).all())
        size, grown = X[n].flatten(1).norm(dim=1), X[n + 1].flatten(1).norm(dim=1)
        assert bool((grown <= (r.gain * size + r.offset) * tiny).all())
        if r.kind != "residual S":  # its best constant may be in another norm
            assert bool((after.norm(dim=1) <= r.best * before * tiny + 1e-12).all())
    moved, start = (X[-1] - Y[-1]).flatten(1).norm(dim=1), (x - y).flatten(1).norm(dim=1)
    for c in report.constants:
        if c.a_proven:
            assert bool((moved <= c.a * start + 1e-12).all()), c.name
        if c.c_proven:
            size, grown = x.flatten(1).norm(dim=1), X[-1].flatten(1).norm(dim=1)
            assert bool((grown <= c.g * size + c.c).all()), c.name


def random_flow(
    variant: str, d: int, generator: torch.Generator, pieces: int = 2, scale: float = 1.0
) -> ResNetFlow:
    def normal(*shape):
        return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)

    breakpoints = [0.5] if pieces == 2 else []
    A1, A2 = normal(pieces, d, d) / d**0.5, normal(pieces, d, d) / d**0.5
    b1, b2 = Piecewise(normal(pieces, d), breakpoints), Piecewise(normal(pieces, d), breakpoints)
    if variant == "ResNet-S":
        return ResNetSFlow(Piecewise(A1, breakpoints), b1, b2)
    kind, A2 = (ResNetDFlow, A2.abs()) if variant == "ResNet-D" else (ResNetFlow, A2)
    return kind(Piecewise(A1, breakpoints), Piecewise(A2, breakpoints), b1, b2)


def linear_network(classes: int = 4) -> tuple[list[Folded], Certifier]:
    """A linear network with an isometry in front, for which the radius can be written down."""
    Q = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    W = torch.randn(classes, 3 * 20, dtype=torch.float64)
    layers: list[Folded] = [
        FoldedConv(Q[..., None, None], torch.randn(3).double()),
        FoldedFlattening(),
        FoldedLinear(W, torch.randn(classes).double()),
    ]
    return layers, certifier_of(layers, (4, 5))


def certifier_of(layers: list[Folded], size: tuple[int, int]) -> Certifier:
    """The certifier of folded layers for inputs of one size, of which nothing is subtracted."""
    *front, classifier = layers
    report = certify_layers(front, size)
    assert isinstance(front[0], FoldedConv)
    assert isinstance(classifier, FoldedLinear)
    return Certifier(
        front,
        [r.best for r in report.layers],
        classifier,
        torch.zeros(front[0].K.shape[1], 1, 1, dtype=torch.float64),
        row_distances(classifier.W),
        report["best"].a,
    )


@torch.no_grad()
def constrained_network(
    variant: str, size: tuple[int, int], initialisation: str = "paper", **architecture
) -> tuple[Network, torch.Tensor, torch.Tensor]:
    """A network on the boundary of the hypotheses whose answers differ, and images for it."""
    network = Network(variant, 2, 4, classes=3, batch_norm=False, **architecture)
    initialise_(network, size, initialisation)
    constrain(network, size, 0.3)
    network.get_buffer("mean").fill_(0.5)
    classifier, x = network.layers[-1], torch.rand(20, 3, *size)
    nn.init.orthogonal_(trained_weight(classifier))
    classifier.bias -= network(x).mean(0)
    return network.eval(), x, network(x).argmax(1)


def write_pictures(
    folder: Path,
    darkest: Mapping[str, int],
    counts: Sequence[int] = (5, 3),
    size: tuple[int, int] = (6, 7),
) -> str:
    """A folder of random pictures, with the darkest grey of each class; its name as a data set."""
    random = np.random.default_rng(0)
    for split, n in zip(("train", "test"), counts, strict=True):
        for label, low in darkest.items():
            (folder / split / label).mkdir(parents=True)
            for i in range(n):
                pixels = random.integers(low, low + 160, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{i:02}.png")
    return f"imagefolder:{folder}"


def stop_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Let training be interrupted before a step, as by Ctrl-C."""
    original = training.Trainer.step

    def interrupted(self, number):
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    patch.setattr(training.Trainer, "step", interrupted)


def weights(run: Run) -> dict[str, torch.Tensor]:
    """The weights of a finished run, as they are stored."""
    return load_tensors(run.folder / "weights.safetensors", "")[0]


def equal(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    """Whether the names are the same and the values to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def barely_above(constant: float, exact: float) -> bool:
    """Whether a proven constant is the exact one, enlarged for rounding and no more than that."""
    return exact * (1 + 1e-12) < constant < exact * (1 + 1e-9)


def dense(f: Callable[[torch.Tensor], torch.Tensor], *shape: int) -> torch.Tensor:
    """The matrix of a linear map of features, column by column."""
    basis = torch.eye(torch.Size(shape).numel(), dtype=torch.float64).reshape(-1, *shape)
    return f(basis).flatten(1).T
