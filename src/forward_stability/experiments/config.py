"""What is trained and how: the configuration of a run, from which the command line is generated."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from math import ceil
from typing import Any

from forward_stability.constraint import INITIALISATIONS
from forward_stability.errors import InputError
from forward_stability.models import check_positive, check_variant

PAPER_STEPS, PAPER_DECAY = 93_500, 32_000
"""Sect. 4: the number of steps, and after how many of them the learning rate is divided by 10."""

CHOICES = {
    "constraint": ("none", "theorem"),
    "initialisation": INITIALISATIONS,
    "images": ("full", "halved"),
    "head": ("global", "flattened"),
    "outer": ("relu", "none"),
    "precision": ("float32", "bfloat16"),
}
"""The values of the options that have few.

In bfloat16 weights, batch normalisation's statistics and the optimiser stay in float32.
"""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Config:
    """The configuration of a run; the defaults are those of Sect. 4 of the paper.

    The paper does not name a momentum. Its footnote names TFLearn, whose CIFAR-10 example has the
    same step numbers and momentum 0.9.
    """

    variant: str = _option("D", "residual layer: D, S or original")
    blocks: int = _option(3, "m, the number of residual layers in the first stage")
    width: int = _option(16, "d1, the channels of the first stage; then twice and four times that")
    dataset: str = _option("digits", "data set: digits, cifar10, …, or imagefolder:PATH")
    seed: int = _option(0, "seed of initial weights, order of images and augmentation")
    steps: int = _option(PAPER_STEPS, "number of optimiser steps")
    epochs: int | None = _option(None, "number of passes over the training set, in place of steps")
    batch_size: int = _option(128, "images in a mini-batch")
    learning_rate: float = _option(0.1, "initial learning rate")
    decay_every: int | None = _option(
        None, "steps after which the learning rate is divided by 10 (steps * 32000 / 93500)"
    )
    momentum: float = _option(0.9, "momentum of the gradient descent")
    alpha: float = _option(1e-4, "α of Table 1, the weight of the regulariser")
    temperature: float = _option(1.0, "T: the loss is the cross-entropy of scores / T, times T")
    margin: float = _option(
        0.0, "ρ: the right score counts √2 ρ less in the loss, which asks for the distance ρ"
    )
    constraint: str = _option(
        "none",
        "theorem: no batch normalisation, and the hypotheses of Theorems 5 and 6 imposed; scores "
        "are divided by the constant of Theorem 6 in the loss, none: the paper's network",
    )
    pooling_bound: float = _option(0.5, "c, the largest norm of a pooling filter if constrained")
    initialisation: str = _option("paper", "if constrained: paper, identity or isometry")
    images: str = _option("full", "full, or halved: a 2D average pooling in front of the network")
    head: str = _option("global", "before the classifier: global (pooling) or flattened")
    outer: str = _option("relu", "outer ReLU of the layers of ResNet-S: relu or none")
    precision: str = _option("float32", "of the forward and backward pass: float32 or bfloat16")
    evaluate_every: int = _option(500, "steps between two evaluations, with a checkpoint each")

    def __post_init__(self) -> None:
        for f in fields(self):
            value, kind = getattr(self, f.name), f.type
            fits = isinstance(value, float | int if kind is float else kind)  # type: ignore
            if not fits or (isinstance(value, bool) and kind is not bool):
                name = getattr(kind, "__name__", kind)
                raise InputError(f"{f.name} must be of type {name}, got {value!r}")
        check_variant(self.variant)
        counts = ("blocks", "width", "steps", "epochs", "batch_size", "decay_every")
        given = {name: getattr(self, name) for name in (*counts, "evaluate_every")}
        check_positive(**{name: n for name, n in given.items() if n is not None})
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r}: choose one of {', '.join(choices)}"
                )
        for name in ("learning_rate", "temperature", "pooling_bound"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("alpha", "margin"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be in [0, 1), got {self.momentum}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """The configuration stored in a run folder.

        Raises:
            InputError: if it has unknown entries.
        """
        if unknown := set(values) - {f.name for f in fields(cls)}:
            raise InputError(f"unknown entries in the configuration: {', '.join(sorted(unknown))}")
        return cls(**values)

    @property
    def name(self) -> str:
        """The name of the run folder unless another is given: DATASET-VARIANT-mBLOCKS-seedSEED."""
        dataset = self.dataset.split(":")[0]
        kind = "" if self.constraint == "none" else f"-{self.constraint}"
        return f"{dataset}-{self.variant}-m{self.blocks}{kind}-seed{self.seed}"

    def resolved(self, images: int) -> "Config":
        """With ``steps`` and ``decay_every`` filled in for a training set of so many images."""
        steps = self.epochs * ceil(images / self.batch_size) if self.epochs else self.steps
        decay = self.decay_every or max(1, round(steps * PAPER_DECAY / PAPER_STEPS))
        return replace(self, steps=steps, epochs=None, decay_every=decay)

    def architecture(self, image_shape: Sequence[int], classes: int) -> dict[str, Any]:
        """The arguments of :class:`~forward_stability.models.Network` for images of one shape.

        Those that only networks beyond the paper have are given where they differ from it.
        """
        arguments = {
            "variant": self.variant,
            "blocks": self.blocks,
            "width": self.width,
            "channels": image_shape[0],
            "classes": classes,
        }
        if self.constraint == "theorem":
            arguments["batch_norm"] = False
        if self.outer == "none":
            arguments["outer_relu"] = False
        if self.images == "halved":
            arguments["halve"] = True
        if self.head == "flattened":
            arguments["flatten"] = list(image_shape[1:])
        return arguments
