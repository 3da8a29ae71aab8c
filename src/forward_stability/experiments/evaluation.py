"""The test accuracy of trained networks, on corrupted images too: what Table 4 measures.

Each level of unstructured noise is measured with several seeds, each level of structured noise with
several images x0: the paper names one, "a ship". Chapter 14.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from forward_stability.errors import InputError
from forward_stability.experiments.data import Dataset, scale
from forward_stability.experiments.noise import structured_noise, unstructured_noise
from forward_stability.experiments.provenance import environment, results_root
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import check_writable, read_json, write_json
from forward_stability.models import Network, check_positive

FILENAME = "noise.json"
SIGMAS = (0.01, 0.02, 0.035, 0.05, 0.1)
EPSILONS = (0.1, 0.25, 0.5, 0.75)
SEEDS = (0, 1, 2)
IMAGES = 10
"""How many images x0 are tried."""


Levels = dict[str, list[float]]
"""Test accuracies, one a seed or an image x0, by "clean", "σ = 0.02" or "ε = 0.25"."""


@torch.no_grad()
def predict(
    network: Network,
    images: Tensor,
    corrupt: Callable[[Tensor], Tensor] = lambda x: x,
    batch_size: int = 100,
) -> Tensor:
    """The scores x^N of images, batch by batch, in evaluation mode.

    Args:
        network: the network, on any device; its mode is restored.
        images: uint8, shape ``(n, channels, height, width)``.
        corrupt: applied to each batch, in [0, 1].
        batch_size: images at a time.

    Returns:
        shape ``(n, classes)``, on the CPU.

    Raises:
        InputError: if a score is not finite.
    """
    training, device = network.training, network.get_buffer("mean").device
    network.eval()
    with parametrize.cached():
        scores = [network(corrupt(scale(x.to(device)))).cpu() for x in images.split(batch_size)]
    network.train(training)
    if not bool(torch.isfinite(result := torch.cat(scores)).all()):
        raise InputError("a score is not finite: the weights or the corruption are too large")
    return result


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """The fraction of images whose largest score is that of their label."""
    return (scores.argmax(dim=1) == labels).double().mean().item()


def structured_images(dataset: Dataset) -> list[int]:
    """The test images that serve as x0: the first ones of class "ship", or else of the first class.

    Source: Fig. 8, which shows one that it calls "a ship".
    """
    classes = list(dataset.classes)
    label = classes.index("ship") if "ship" in classes else 0
    return (dataset.test_labels == label).nonzero()[:IMAGES, 0].tolist()


def image_name(image: Tensor) -> str:
    """A name of an image by its content, whatever its place in a data set.

    Args:
        image: uint8, shape ``(channels, height, width)``.

    Returns:
        the first twelve hexadecimal digits of the SHA-256 of its bytes.
    """
    return hashlib.sha256(image.contiguous().cpu().numpy().tobytes()).hexdigest()[:12]


def measure(run: Run, step: int = 1) -> dict[str, Any]:
    """The test accuracies of the network of a run, with what they depend on.

    Images x0 are named by their content, so that results on other orders of the files compare.

    Args:
        run: a finished run.
        step: take every step-th test image.

    Raises:
        InputError: if the run is not done, its data set is not at hand, or step is below 1.

    Source: Eq. 28, Table 4. Chapter 14.
    """
    check_positive(step=step)
    network, dataset = run.network(), run.dataset()
    network.to(memory_format=torch.channels_last)  # as in training: ResNet-S takes half the time
    tested, labels = dataset.test_images[::step], dataset.test_labels[::step]
    images = structured_images(dataset)

    def test(corrupt: Any) -> float:
        return accuracy(predict(network, tested, corrupt), labels)

    def grain(sigma: float, seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        return test(partial(unstructured_noise, sigma=sigma, generator=generator))

    def ghost(epsilon: float, index: int) -> float:
        x0 = scale(dataset.test_images[index])
        return test(partial(structured_noise, x0=x0, epsilon=epsilon))

    levels: Levels = {"clean": [test(lambda x: x)]}
    levels |= {f"σ = {s:g}": [grain(s, seed) for seed in SEEDS] for s in SIGMAS}
    levels |= {f"ε = {e:g}": [ghost(e, index) for index in images] for e in EPSILONS}
    return {
        "variant": run.config.variant,
        "blocks": run.config.blocks,
        "steps": run.config.steps,
        "seed": run.config.seed,
        "data": run.data_name,
        "fingerprint": dataset.fingerprint,
        "test_images": len(tested),
        "seeds": list(SEEDS),
        "x0": [image_name(dataset.test_images[index]) for index in images],
        "environment": environment("cpu"),
        "accuracy": levels,
    }


def update(path: Path, runs: Iterable[Run], step: int = 1) -> dict[str, Any]:
    """Measure runs and write them to a file, each when it is done; others in it stay.

    The entry of a run has the name of its folder, as seen from the folder of the file.

    Raises:
        InputError: if the file is damaged or a folder, or for a run as :func:`measure` does.
        OSError: if the file cannot be written; nothing is measured then.
    """
    check_writable(path)
    entries = read_json(path, dict) if path.is_file() else {}
    for run in runs:
        name = Path(os.path.relpath(run.folder.resolve(), path.parent.resolve())).as_posix()
        entries[name] = measure(run, step)
        write_json(path, entries)
    return entries


def read(path: Path | None = None) -> dict[str, Any]:
    """What :func:`update` wrote; by default, what comes with the book."""
    return read_json(path or results_root() / FILENAME, dict)
