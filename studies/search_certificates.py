"""The search for a false certificate: random networks, and inputs that try to break their bounds.

    python studies/search_certificates.py [--networks 5000] [--seed 0]

Networks of all variants, lists of layers of one's own, networks of PyTorch's layers (periodic and
with zero padding, strides, poolings, sums), with batch normalisations whose variance is anything
from 0 to 1000 and whose γ is tiny, zero or negative, for images of 1x1 to 9x9 pixels and 1 to 3
channels. For every layer and for the whole, gradient ascent on pairs looks for a
distance that grows by more than its proven constant, and on single inputs for a feature beyond its
growth bound. Each network has a seed of its own, and a process a core does its share. Written to
results/search_certificates.json: the largest ratio of each field. Exit status 1 if one is above
1 + 1e-12.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from joblib import Parallel, delayed
from torch import Tensor, nn

from forward_stability.certificates import certify_layers
from forward_stability.experiments.provenance import command, environment, results_root
from forward_stability.experiments.storage import write_json
from forward_stability.folding import forward
from forward_stability.graph import fold
from forward_stability.layer import Folded
from forward_stability.layers import (
    Classifier,
    Convolution,
    Flattening,
    GlobalPooling,
    Halving,
    Layer,
    Pooling,
    Residual,
    ResidualD,
    ResidualS,
)
from forward_stability.models import Network

STEPS, STARTS, LIMIT = 12, 4, 1 + 1e-12


def choice(options: list):
    return options[int(torch.randint(len(options), ()))]


def own_network(width: int) -> nn.Sequential:
    """Layers in an order of one's own, up to six of them."""
    layers: list[Layer] = [Halving()] if torch.rand(()) < 0.2 else []
    layers.append(Convolution(width, width, batch_norm=bool(torch.rand(()) < 0.5)))
    for _ in range(int(torch.randint(0, 4, ()))):
        norm = bool(torch.rand(()) < 0.7)
        kind = choice(["D", "S", "S without", "original", "strided", "pooling"])
        if kind == "pooling":
            layers.append(Pooling(width, norm))
        elif kind in ("original", "strided"):
            layers.append(Residual(width, 2 * width if kind == "strided" else None))
        else:
            layer = {"D": ResidualD, "S": ResidualS}.get(kind)
            layers.append(layer(width, norm) if layer else ResidualS(width, norm, outer_relu=False))
        width *= 2 if kind in ("pooling", "strided") else 1
    layers += [GlobalPooling(), Classifier(width, 3)] if torch.rand(()) < 0.5 else [Flattening()]
    return nn.Sequential(*layers)


class Sum(nn.Module):
    """A residual block of another hand: x, or a convolution of x, and a branch."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


def torch_conv(into: int, out: int, stride: int = 1) -> nn.Conv2d:
    """A convolution whose output has the size of its input, divided by the stride."""
    mode = choice(["zeros", "circular"])
    return nn.Conv2d(into, out, 3, stride, 1, bias=bool(torch.rand(()) < 0.5), padding_mode=mode)


def torch_network(width: int) -> nn.Sequential:
    """PyTorch's own layers, up to five parts of them."""
    layers: list[nn.Module] = [torch_conv(width, width)]
    for _ in range(int(torch.randint(0, 5, ()))):
        kind = choice(["conv", "norm", "relu", "sum", "sum", "mean", "max"])
        if kind == "conv":
            layers.append(torch_conv(width, width, choice([1, 2])))
        elif kind == "norm":
            layers.append(nn.BatchNorm2d(width))
        elif kind == "relu":
            layers.append(nn.ReLU())
        elif kind == "sum":
            branch = [torch_conv(width, width), nn.BatchNorm2d(width), nn.ReLU()]
            branch.append(torch_conv(width, width))
            layers.append(Sum(nn.Sequential(*branch), choice([nn.Identity(), nn.ReLU()])))
        else:
            pool = nn.AvgPool2d if kind == "mean" else nn.MaxPool2d
            layers.append(pool(3, choice([1, 2, 3]), 1))
    if torch.rand(()) < 0.5:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)]
    return nn.Sequential(*layers)


@torch.no_grad()
def disturb_(module: nn.Module) -> None:
    """Weights of all magnitudes; statistics and parameters of normalisations as above."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_()
            part.running_var.copy_(10 ** torch.empty_like(part.running_var).uniform_(-8, 3))
            part.running_var[torch.rand_like(part.running_var) < 0.2] = 0
            if part.affine:
                gamma = 10 ** torch.empty_like(part.weight).uniform_(-12, 1)
                sign = torch.tensor([1.0, 1.0, 0.0, -1.0])[torch.randint(4, gamma.shape)]
                part.weight.copy_(gamma * sign)
                part.bias.normal_().mul_(10 ** float(torch.empty(()).uniform_(-2, 2)))
        else:
            scale = 10 ** float(torch.empty(()).uniform_(-2, 1))
            for parameter in part.parameters(recurse=False):
                parameter.normal_().mul_(scale)
    for part in module.modules():
        if isinstance(part, ResidualD):
            part.project_()


def ascend(value: Callable[..., Tensor], points: list[Tensor]) -> float:
    """The largest value met on the way of Adam from several starts at once."""
    points = [p.clone().requires_grad_() for p in points]
    scale = float(points[0].detach().square().mean().sqrt()) + 1e-3
    optimiser, best = torch.optim.Adam(points, lr=0.1 * scale), 0.0
    for _ in range(STEPS):
        values = value(*points)
        best = max(best, float(values.detach().nan_to_num(0.0, 0.0, 0.0).max()))
        optimiser.zero_grad()
        (-values[values > 0].log().sum()).backward()
        for p in points:
            if p.grad is not None:
                p.grad.nan_to_num_(0.0, 0.0, 0.0)
        optimiser.step()
    return best


def norm(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)


def stretch(f: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """‖f(x) − f(y)‖ / ‖x − y‖, less what rounding may have added to the difference."""
    fx, fy = f(x), f(y)
    rounding = 1e-13 * (norm(fx) + norm(fy)).detach()
    return (norm(fx - fy) - rounding) / (norm(x - y) + 1e-300)


def growth(f: Callable[[Tensor], Tensor], g: float, c: float, x: Tensor) -> Tensor:
    return norm(f(x)) / (g * norm(x) + c + 1e-300) * (1 - 1e-13)


def pairs(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Inputs of all magnitudes, and partners near and far."""
    far = 10 ** torch.empty(STARTS, 1, 1, 1, dtype=torch.float64).uniform_(-2, 3)
    x = far * torch.randn(STARTS, *shape, dtype=torch.float64)
    x[0] = 0
    near = 10 ** torch.empty(STARTS, 1, 1, 1, dtype=torch.float64).uniform_(-3, 2)
    return x, x + near * torch.randn(STARTS, *shape, dtype=torch.float64)


def search(layers: list[Folded], shape: tuple[int, int, int]) -> dict[str, float]:
    """The largest ratio of every proven field of a network's report."""
    report = certify_layers(layers, shape[1:], channels=shape[0])
    worst: dict[str, float] = {}

    def record(field: str, ratio: float) -> None:
        worst[field] = max(worst.get(field, 0.0), ratio)

    x = torch.zeros(1, *shape, dtype=torch.float64)
    for layer, entry in zip(layers, report.layers, strict=True):
        if layer.kind != "classifier":
            a, b = pairs(tuple(x.shape[1:])) if x.dim() == 4 else (x, x)
            if x.dim() == 4:
                name = f"{layer.kind}: "
                ratio = ascend(partial(stretch, layer), [a, b])
                record(name + "lipschitz", ratio / (entry.lipschitz + 1e-300))
                record(name + "best", ratio / (entry.best + 1e-300))
                grown = partial(growth, layer, entry.gain, entry.offset)
                record(name + "gain and offset", ascend(grown, [a]))
        x = layer(x)
    f = partial(forward, layers)
    a, b = pairs(shape)
    ratio = ascend(partial(stretch, f), [a, b])
    for constants in report.constants:
        if constants.a_proven:
            record(f"{constants.name}: a", ratio / (constants.a + 1e-300))
        if constants.c_proven:
            grown = partial(growth, f, constants.g, constants.c)
            record(f"{constants.name}: g and c", ascend(grown, [a]))
    return worst


def one(seed: int) -> dict[str, float]:
    """A network and what is found of it."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    width, size = choice([1, 2, 3]), (choice([*range(1, 10)]), choice([*range(1, 10)]))
    kind = choice(["D", "S", "original", "own", "own", "torch"])
    if kind == "own":
        network: nn.Module = own_network(width)
    elif kind == "torch":
        network = torch_network(width)
    else:
        norm = kind == "original" or bool(torch.rand(()) < 0.7)
        network = Network(kind, 1, width, width, 3, batch_norm=norm)
    disturb_(network)
    return search(fold(network.double().eval()), (width, *size))


def main() -> int:
    """Draw networks and try to break what is said of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--networks", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    seeds = range(args.seed, args.seed + args.networks)
    worst: dict[str, float] = {}
    everything: Any = Parallel(n_jobs=-1, return_as="generator")(delayed(one)(s) for s in seeds)
    for found in everything:
        for field, ratio in found.items():
            worst[field] = max(worst.get(field, 0.0), ratio)
    for field, ratio in sorted(worst.items()):
        print(f"{field:<34}{ratio:.15f}")
    broken = [field for field, ratio in worst.items() if ratio > LIMIT]
    print(f"{args.networks:,} networks; above 1 + 1e-12: {', '.join(broken) or 'none'}")
    content = {
        "command": command(),
        "environment": environment("cpu"),
        "networks": args.networks,
        "seed": args.seed,
        "largest ratio": dict(sorted(worst.items())),
    }
    write_json(results_root() / "search_certificates.json", content)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
