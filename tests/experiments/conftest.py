"""Small data sets and configurations that are trained on them in a moment."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import stop_at

from forward_stability.experiments import training
from forward_stability.experiments.config import Beyond, Config
from forward_stability.experiments.data import Dataset


@pytest.fixture
def config(pictures: str) -> Config:
    """A configuration on ten coloured pictures of two classes."""
    small = Config(variant="D", blocks=1, width=2, steps=12, batch_size=4, evaluate_every=5)
    return replace(small, dataset=pictures)


@pytest.fixture
def stopped(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run stopped after its first checkpoint."""
    with monkeypatch.context() as patch:
        stop_at(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, tmp_path / "stopped")
    return tmp_path / "stopped"


@pytest.fixture
def wide() -> Dataset:
    """Ten images of 8x16 pixels of noise, of three classes; the test images are others."""
    random = torch.Generator().manual_seed(0)
    x, y = torch.randint(256, (2, 10, 3, 8, 16), generator=random, dtype=torch.uint8)
    labels = torch.arange(10) % 3
    return Dataset("noise", ("a", "b", "c"), x, labels, y, labels, flips=True, fingerprint="0")


@pytest.fixture
def constrained() -> Config:
    """A network on which the hypotheses are imposed; large steps leave the balls all the time."""
    return Config(
        blocks=2, width=4, batch_size=5, steps=8, learning_rate=1.0, evaluate_every=4,
        beyond=Beyond(constraint="theorem", pooling_bound=0.3, temperature=0.1),
    )  # fmt: skip
