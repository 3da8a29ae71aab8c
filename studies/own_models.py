"""Networks that were not built by this package: certified, or refused with a sentence.

    python studies/own_models.py

Sequentials, residual networks of another hand and models of torchvision, with random weights.
Written to results/own_models.json: the proven constant a of each, or the message.
"""

import argparse
from typing import Any

import torch
import torchvision.models as zoo
from torch import Tensor, nn

from forward_stability.certificates import certify
from forward_stability.errors import InputError
from forward_stability.experiments.provenance import command, environment, results_root
from forward_stability.experiments.storage import write_json
from forward_stability.layers import Convolution, ResidualS

CIFAR, SMALL, LARGE = (3, 32, 32), (3, 8, 8), (3, 64, 64)


class Block(nn.Module):
    """σ(x + f(x)), with two normalised convolutions in f."""

    def __init__(self, width: int, mode: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False, padding_mode=mode)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False, padding_mode=mode)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(x + self.bn2(self.conv2(y)))


def residual(mode: Any) -> nn.Module:
    """A small residual network."""
    stem = nn.Conv2d(3, 8, 3, padding=1, padding_mode=mode)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return nn.Sequential(stem, Block(8, mode), Block(8, mode), *head)


def models() -> dict[str, tuple[nn.Module, tuple[int, int, int]]]:
    """The models, each with the shape of its images."""
    ours = nn.Sequential(Convolution(3, 8), ResidualS(8))
    perceptron = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10))
    late = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.MaxPool2d(2))
    return {
        "Sequential(Convolution, ResidualS)": (ours, CIFAR),
        "a residual network, circular padding": (residual("circular"), CIFAR),
        "the same, zero padding": (residual("zeros"), CIFAR),
        "Flatten, Linear, ReLU, Linear": (perceptron, SMALL),
        "ReLU between convolution and BatchNorm": (late, CIFAR),
        "VGG-11 of torchvision, its features": (zoo.vgg11().features, CIFAR),
        "ResNet-18 of torchvision": (zoo.resnet18(), LARGE),
        "the same, reflect padding": (residual("reflect"), CIFAR),
        "MobileNet-V2 of torchvision": (zoo.mobilenet_v2(), CIFAR),
        "DenseNet-121 of torchvision": (zoo.densenet121(), CIFAR),
        "ViT-B/16 of torchvision": (zoo.vit_b_16(), (3, 224, 224)),
        "groups of channels": (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), (4, 8, 8)),
    }


def main() -> None:
    """Certify them all."""
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args()
    torch.manual_seed(0)
    rows = []
    for name, (model, shape) in models().items():
        row: dict[str, object] = {"model": name, "images": list(shape)}
        try:
            row["a"] = certify(model.eval(), shape[1:])["best"].a
        except InputError as error:
            row["refused"] = str(error)
        print(name, row.get("a") or row["refused"], sep=": ")
        rows.append(row)
    content = {"command": command(), "environment": environment("cpu"), "seed": 0, "models": rows}
    write_json(results_root() / "own_models.json", content)


if __name__ == "__main__":
    main()
