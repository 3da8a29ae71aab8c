"""The noise explorer: an image, a noise and its level, and the answers of networks side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from forward_stability.book.export import Export, export_run
from forward_stability.book.live import Page, Widget, for_host
from forward_stability.errors import InputError
from forward_stability.experiments.data import Dataset
from forward_stability.experiments.runs import Run

PHOTOGRAPHS = {"cat": "a cat", "coffee": "a cup of coffee", "rocket": "a rocket"}
"""Photographs that come with scikit-image, free of rights, and what they show."""


@dataclass(frozen=True)
class Sample:
    """An image to choose: uint8, shape (channels, height, width); ``label`` is None if unknown."""

    name: str
    image: Tensor
    label: int | None


def noise_explorer(*runs: str | Run) -> Widget | Page:
    """An explorer of noisy images for trained networks, which it evaluates in the browser.

    Its images are test images of the data set of the runs; where that is not at hand, photographs
    from scikit-image. The reader can drop in a picture. Weights have 8 bits, so that a page of
    several networks is light.

    Args:
        runs: run folders, or names of runs that come with the book; all of one data set.

    Raises:
        InputError: if a run is not done, or the runs are of different data sets.

    Source: Eq. 28, Figs. 9 and 10. Chapter 14.
    """
    export = partial(export_run, bits=8)
    return network_explorer("noise_explorer", "noise explorer", runs, export)


def network_explorer(
    script: str,
    title: str,
    runs: Sequence[str | Run],
    export: Callable[[Run], Export] = export_run,
) -> Widget | Page:
    """An explorer that gets networks and images; see :func:`noise_explorer`."""
    opened = [run if isinstance(run, Run) else Run(run) for run in runs]
    if len({str(run.info["data"]) for run in opened}) != 1:
        raise InputError(f"the {title} needs runs of one data set")
    samples, note = choose_samples(opened[0])
    exports = {str(i): export(run) for i, run in enumerate(opened)}
    images = torch.stack([sample.image for sample in samples])
    spec: dict[str, Any] = {
        "networks": list(exports),
        "images": [{"name": s.name, "label": s.label} for s in samples],
        "note": note,
    }
    files = {name: made.to_bytes() for name, made in exports.items()}
    names = ", ".join(made.header["name"] for made in exports.values())
    text = f"<{title}: {names}, trained on {opened[0].data_name}>"
    return for_host(script, spec, files | {"images": images.numpy().tobytes()}, text)


def choose_samples(run: Run) -> tuple[list[Sample], str]:
    """Images for the networks of a run, and a note that says what they are."""
    try:
        dataset = run.dataset()
    except InputError:
        data = run.info["data"]
        samples = photographs(data["classes"], data["image_shape"])
        note = (
            "The pictures are photographs that come with scikit-image, scaled down: "
            "the test images are not at hand."
        )
        return samples, note
    note = "The pictures are test images, which the networks have not seen in training."
    return first_of_each_class(dataset), note


def first_of_each_class(dataset: Dataset) -> list[Sample]:
    """Two test images of every class."""
    samples = []
    for label, name in enumerate(dataset.classes):
        for index in (dataset.test_labels == label).nonzero()[:2, 0].tolist():
            title = f"{name} (test image {index})"
            samples.append(Sample(title, dataset.test_images[index], label))
    return samples


def photographs(classes: Sequence[str], shape: Sequence[int]) -> list[Sample]:
    """The middle of each of :data:`PHOTOGRAPHS`, scaled down to a shape (channels, h, w)."""
    from skimage import data

    samples = []
    for name, title in PHOTOGRAPHS.items():
        image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1).float()
        if shape[0] == 1:
            image = image.mean(dim=0, keepdim=True)
        side = min(image.shape[1:])
        top, left = ((n - side) // 2 for n in image.shape[1:])
        square = image[None, :, top : top + side, left : left + side]
        small = F.interpolate(square, size=tuple(shape[1:]), mode="area")[0].round()
        label = list(classes).index(name) if name in classes else None
        samples.append(Sample(f"{title} (a photograph)", small.to(torch.uint8), label))
    return samples
