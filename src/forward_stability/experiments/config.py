"""What is trained and how: the configuration of a run, from which the command line is generated."""

from collections.abc import Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from math import ceil
from typing import Any

from forward_stability.constraint import INITIALISATIONS
from forward_stability.errors import InputError
from forward_stability.models import POOLINGS, check_positive, check_variant

PAPER_STEPS, PAPER_DECAY = 93_500, 32_000
"""Sect. 4: the number of steps, and after how many of them the learning rate is divided by 10."""

LARGEST = 10_000_000
"""m d1² of the largest network: it has some 400 times as many weights, four billion."""

FLOAT32 = 1e38
"""What float32 holds, rounded down: the optimiser computes with it."""


def _option(default: Any, text: str, choices: Sequence[str] = ()) -> Any:
    return field(default=default, metadata={"help": text, "choices": choices})


def _check_fields(options: Any) -> None:
    """Raise InputError unless each field has its type and, where there are few, its value."""
    for f in fields(options):
        if f.name == "beyond":
            continue
        value, kind, choices = getattr(options, f.name), f.type, f.metadata["choices"]
        fits = isinstance(value, float | int if kind is float else kind)  # type: ignore[arg-type]
        if not fits or isinstance(value, bool):
            name = getattr(kind, "__name__", kind)
            raise InputError(f"{f.name} must be of type {name}, got {value!r}")
        if isinstance(value, int) and abs(value) >= 2**64:
            raise InputError(f"{f.name} must have at most 64 bits")
        if isinstance(value, float) and FLOAT32 < abs(value) < float("inf"):
            raise InputError(f"{f.name} must be at most {FLOAT32:g}, got {value:g}")
        if choices and value not in choices:
            raise InputError(f"unknown {f.name} {value!r}: choose one of {', '.join(choices)}")


@dataclass(frozen=True)
class Beyond:
    """What chapter 15 adds to the networks and the loss of the paper; the defaults add nothing."""

    temperature: float = _option(1.0, "T: the loss is the cross-entropy of scores / T, times T")
    margin: float = _option(
        0.0, "ρ: the right score counts √2 ρ less in the loss, which asks for the distance ρ"
    )
    constraint: str = _option(
        "none",
        "theorem: no batch normalisation, and the hypotheses of Theorems 5 and 6 imposed; scores "
        "are divided by the constant of Theorem 6 in the loss, none: the paper's network",
        ("none", "theorem"),
    )
    pooling_bound: float = _option(0.5, "c, the largest norm of a pooling filter if constrained")
    initialisation: str = _option(
        "paper", "if constrained: paper, identity or, of ResNet-S, isometry", INITIALISATIONS
    )
    images: str = _option(
        "full",
        "full, halved (by an average pooling) or unshuffled (2x2 pixels to channels)",
        ("full", "halved", "unshuffled"),
    )
    pooling: str = _option(
        "paper", "between the stages: paper, or unshuffling (2x2 pixels to channels)", POOLINGS
    )
    head: str = _option(
        "global", "before the classifier: global (pooling) or flattened", ("global", "flattened")
    )
    layers: str = _option(
        "paper",
        "paper or, of ResNet-S if constrained, maxmin: a convolution of norm 1 and MaxMin in place "
        "of each residual layer",
        ("paper", "maxmin"),
    )
    lift: float = _option(
        0.0, "ℓ, of ResNet-S if constrained: features moved up, so that the outer ReLU acts at −ℓ"
    )
    outer: str = _option(
        "relu", "outer ReLU of the layers of ResNet-S: relu or none", ("relu", "none")
    )
    schedule: str = _option(
        "steps",
        "of the learning rate: steps, divided by 10 after every decay_every, or one-cycle, up "
        "during the first 0.15 of the training and then down to 0 along a cosine",
        ("steps", "one-cycle"),
    )

    def __post_init__(self) -> None:
        _check_fields(self)
        for name in ("temperature", "pooling_bound"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.margin < float("inf"):
            raise InputError(f"margin must be at least 0 and finite, got {self.margin}")
        if not 0 <= self.lift < float("inf"):
            raise InputError(f"lift must be at least 0 and finite, got {self.lift}")
        for name in ("pooling_bound", "initialisation", "layers", "lift"):
            value = getattr(self, name)
            if self.constraint == "none" and value != getattr(Beyond, name):
                raise InputError(f"{name} {value} has no effect without constraint theorem")
        if self.lift and (self.pooling == "paper" or self.outer == "none"):
            raise InputError(f"lift {self.lift} is for pooling unshuffling and outer relu")
        if self.layers == "maxmin" and (self.lift or self.outer == "none"):
            raise InputError("lift and outer have no effect with layers maxmin")
        if self.pooling != "paper" and self.pooling_bound != Beyond.pooling_bound:
            raise InputError(
                f"pooling_bound {self.pooling_bound} has no effect without pooling paper"
            )

    @property
    def constrained(self) -> bool:
        """Whether the hypotheses of Theorems 5 and 6 are imposed."""
        return self.constraint == "theorem"

    def architecture(self, size: Sequence[int]) -> dict[str, Any]:
        """The arguments of :class:`~forward_stability.models.Network` that it changes.

        Args:
            size: the height and width of the images.
        """
        arguments: dict[str, Any] = {}
        if self.constrained:
            arguments["batch_norm"] = False
        if self.outer == "none":
            arguments["outer_relu"] = False
        if self.layers == "maxmin":
            arguments["maxmin"] = True
        if self.images == "halved":
            arguments["halve"] = True
        if self.images == "unshuffled":
            arguments["unshuffle"] = True
        if self.pooling != "paper":
            arguments["pooling"] = self.pooling
        if self.head == "flattened":
            arguments["flatten"] = list(size)
        return arguments


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
    precision: str = _option(
        "float32",
        "of the forward and backward pass: float32 or bfloat16; weights, statistics and the "
        "optimiser stay in float32",
        ("float32", "bfloat16"),
    )
    evaluate_every: int = _option(500, "steps between two evaluations, with a checkpoint each")
    beyond: Beyond = Beyond()

    def __post_init__(self) -> None:
        _check_fields(self)
        check_variant(self.variant)
        counts = ("blocks", "width", "steps", "epochs", "batch_size", "decay_every")
        given = {name: getattr(self, name) for name in (*counts, "evaluate_every")}
        check_positive(**{name: n for name, n in given.items() if n is not None})
        if self.epochs is not None and self.steps != PAPER_STEPS:
            raise InputError(f"give either steps ({self.steps}) or epochs ({self.epochs})")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.alpha < float("inf"):
            raise InputError(f"alpha must be at least 0 and finite, got {self.alpha}")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be in [0, 1), got {self.momentum}")
        if self.seed < 0:
            raise InputError(f"seed must be at least 0, got {self.seed}")
        if self.blocks * self.width**2 > LARGEST:
            raise InputError(
                f"blocks {self.blocks} and width {self.width} make a network too large to train: "
                f"blocks times width squared is to be at most {LARGEST:,}"
            )
        if self.variant != "S" and self.beyond.initialisation == "isometry":
            raise InputError("initialisation isometry is for variant S only")
        for name in ("lift", "layers"):
            if self.variant != "S" and getattr(self.beyond, name) != getattr(Beyond, name):
                raise InputError(f"{name} is for variant S only")
        if self.beyond.layers == "maxmin" and self.width % 2:
            raise InputError(f"layers maxmin needs an even width, got {self.width}")
        if self.variant == "original" and self.beyond.pooling != "paper":
            raise InputError("pooling unshuffling is for variants D and S: the original has none")
        if self.beyond.schedule != "steps" and self.decay_every is not None:
            raise InputError(f"decay_every {self.decay_every} has no effect without schedule steps")

    @staticmethod
    def options() -> list[Field[Any]]:
        """The options of a run, those of :class:`Beyond` among them."""
        return [f for f in (*fields(Config), *fields(Beyond)) if f.name != "beyond"]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """The configuration with these options, such as those stored in a run folder.

        Raises:
            InputError: if there is an unknown one, or one does not fit.
        """
        if not isinstance(values, dict):
            raise InputError(f"a configuration is a table of options, not {values!r:.40}")
        if unknown := set(values) - {f.name for f in cls.options()}:
            raise InputError(f"unknown entries in the configuration: {', '.join(sorted(unknown))}")
        beyond = {f.name for f in fields(Beyond)}
        plain = {name: value for name, value in values.items() if name not in beyond}
        more = {name: value for name, value in values.items() if name in beyond}
        return cls(**plain, beyond=Beyond(**more))

    def to_dict(self) -> dict[str, Any]:
        """All options by name; the inverse of :meth:`from_dict`."""
        values = asdict(self)
        return values | values.pop("beyond")

    def changed(self, **options: Any) -> "Config":
        """The configuration with other values of some options, those of chapter 15 among them."""
        return Config.from_dict(self.to_dict() | options)

    @property
    def name(self) -> str:
        """The name of the run folder unless another is given: DATASET-VARIANT-mBLOCKS-seedSEED."""
        dataset = self.dataset.split(":")[0]
        kind = f"-{self.beyond.constraint}" if self.beyond.constrained else ""
        return f"{dataset}-{self.variant}-m{self.blocks}{kind}-seed{self.seed}"

    def resolved(self, images: int) -> "Config":
        """With ``steps`` and, where it has an effect, ``decay_every`` for so many images."""
        steps = self.epochs * ceil(images / self.batch_size) if self.epochs else self.steps
        decay = self.decay_every or max(1, round(steps * PAPER_DECAY / PAPER_STEPS))
        decay = decay if self.beyond.schedule == "steps" else None
        return replace(self, steps=steps, epochs=None, decay_every=decay)

    def architecture(self, image_shape: Sequence[int], classes: int) -> dict[str, Any]:
        """The arguments of :class:`~forward_stability.models.Network` for images of one shape.

        Those that only networks beyond the paper have are given where they differ from it.
        """
        return {
            "variant": self.variant,
            "blocks": self.blocks,
            "width": self.width,
            "channels": image_shape[0],
            "classes": classes,
            **self.beyond.architecture(image_shape[1:]),
        }
