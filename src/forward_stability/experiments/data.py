"""Data sets as tensors in memory, and their augmentation.

``digits`` comes with scikit-learn, so that every chapter runs without a download. The others come
through torchvision, from a folder for data (see :func:`data_root`) into one checked file each, or
are tensors of one's own.
"""

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.experiments.download import SETS, read_set
from forward_stability.experiments.storage import load_tensors, save_tensors, user_path

PAD = 4
"""Pixels by which a training image is padded on each side before it is cropped (Sect. 4)."""


DATA_ROOT = "~/.cache/forward-stability"
"""The folder for data unless the environment names another."""

DIMENSIONS = {"train_images": 4, "train_labels": 1, "test_images": 4, "test_labels": 1}
"""The tensors of a data set, and how many dimensions they have."""

NAMES = "digits, " + ", ".join(SETS) + " or imagefolder:PATH"


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Attributes:
        name: as given to :func:`load_dataset` or :func:`from_tensors`.
        classes: the names of the classes.
        train_images, test_images: uint8, shape ``(n, channels, height, width)``.
        train_labels, test_labels: int64, shape ``(n,)``.
        flips: whether a mirrored image keeps its class, so that augmentation may flip it.
        fingerprint: SHA-256 over images and labels, whatever their order and the names of files.
    """

    name: str
    classes: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    flips: bool
    fingerprint: str

    @property
    def mean(self) -> Tensor:
        """The mean of each channel of the training images, in [0, 1], shape (channels, 1, 1)."""
        images = self.train_images
        # Summed as integers: exact, so that the mean is the same on every machine.
        total = images.sum(dim=(0, 2, 3), dtype=torch.int64).double()
        return (total / (255 * images[:, 0].numel())).float().view(-1, 1, 1)

    @property
    def border(self) -> Tensor:
        """The pixel that augmentation pads with, in [0, 1], shape (channels, 1, 1).

        It is the mean, that is, 0 after the mean is subtracted, as in He et al. Images drawn on
        black (most of their corners are black) are padded with black.

        Source: Sect. 4, "preprocessed and augmented as in [16]". Chapter 13.
        """
        corners = self.train_images[..., [0, -1], :][..., [0, -1]]
        drawn_on_black = (corners == 0).float().mean() > 0.5
        return torch.zeros_like(self.mean) if drawn_on_black else self.mean


def scale(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1], the scale on which σ and ε of Eq. 28 are measured."""
    return images.float() / 255


def data_root() -> Path:
    """The folder for data: ``$FORWARD_STABILITY_DATA``, or :data:`DATA_ROOT`.

    Raises:
        InputError: if it is in a home folder that cannot be found.
    """
    return user_path(os.environ.get("FORWARD_STABILITY_DATA") or DATA_ROOT)


def check_dataset(name: str) -> None:
    """Raise InputError unless it is the name of a data set.

    Whether its files are on this machine is another question: see :func:`load_dataset`.
    """
    if name != "digits" and name not in SETS and not name.startswith("imagefolder:"):
        raise InputError(f"unknown data set {name!r}: choose {NAMES}")


def load_dataset(
    name: str, *, download: bool = False, mirror: str | None = None, progress: bool = True
) -> Dataset:
    """A data set by name.

    Args:
        name: ``digits`` (1,797 handwritten digits of 32x32 pixels; 360 of them, drawn with a fixed
            seed, are the test set), ``cifar10``, ``cifar100``, ``mnist``, ``fashion-mnist``,
            or ``imagefolder:PATH`` with images in PATH/train/CLASS/ and PATH/test/CLASS/, where
            PATH may be relative to the current folder or to :func:`data_root`.
        download: fetch archives that are missing.
        mirror: the address of a folder that holds the same archives.
        progress: show a progress bar where it takes long.

    Raises:
        InputError: if the name is unknown, or files are missing, cut short or altered.

    Chapters 8 and 13.
    """
    check_dataset(name)
    if name == "digits":
        return _digits()
    if name.startswith("imagefolder:"):
        return _imagefolder(name, user_path(name.removeprefix("imagefolder:")), progress)
    path, mend = data_root() / f"{name}.safetensors", f"run `forward-stability data {name}`"
    if not path.is_file():
        tensors, classes = read_set(
            name, data_root() / "torchvision", mend, download=download, mirror=mirror,
            progress=progress,
        )  # fmt: skip
        _keep(path, tensors, {"classes": classes})
    else:
        tensors, metadata = _cached(path, f"delete it and {mend}")
        classes = metadata["classes"]
    return _dataset(name, tensors, classes, SETS[name].flips)


def from_tensors(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    name: str = "tensors",
    classes: Sequence[str] = (),
    flips: bool = False,
) -> Dataset:
    """A data set of your own, for :func:`~forward_stability.experiments.training.train`.

    Args:
        train, test: images, uint8 of shape ``(n, channels, height, width)``, and labels, int64 of
            shape ``(n,)``.
        name: under which run folders remember it.
        classes: their names; the numbers 0, 1, … unless given.
        flips: whether a mirrored image keeps its class, so that augmentation may flip it.

    Raises:
        InputError: if shapes, types or labels do not fit, or the name is that of another data set.

    Chapter 15.
    """
    if name == "digits" or name in SETS or name.startswith("imagefolder:"):
        raise InputError(f"{name!r} is the name of another data set: choose your own")
    count = len(classes) or (int(train[1].max()) + 1 if train[1].numel() else 0)
    for part, (images, labels) in (("train", train), ("test", test)):
        if images.dtype != torch.uint8 or images.dim() != 4 or not images.numel():
            raise InputError(
                f"{part} images must be uint8 of shape (n, channels, height, width), got "
                f"{images.dtype} of shape {tuple(images.shape)}: values in [0, 1] become bytes by "
                "(255 * images).round().to(torch.uint8)"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise InputError(
                f"{part} labels must be int64 of shape ({len(images)},), got {labels.dtype} of "
                f"shape {tuple(labels.shape)}"
            )
        if int(labels.min()) < 0 or int(labels.max()) >= count:
            raise InputError(f"{part} labels must be in 0, …, {count - 1}, one for each class")
        shape, given = tuple(train[0].shape[1:]), tuple(images.shape[1:])
        if given != shape:
            raise InputError(f"test images must have the shape {shape} of the others, got {given}")
    tensors = {
        "train_images": train[0],
        "train_labels": train[1],
        "test_images": test[0],
        "test_labels": test[1],
    }
    return _dataset(name, tensors, classes or [str(k) for k in range(count)], flips)


def _keep(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Spare the next call the work, if there is a place for it."""
    try:
        save_tensors(path, tensors, metadata)
    except OSError as error:
        warnings.warn(f"{error.strerror}: the images are read anew each time", stacklevel=3)


def _cached(path: Path, mend: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What was kept of a data set.

    Raises:
        InputError: if it is damaged or something else.
    """
    tensors, metadata = load_tensors(path, mend)
    fits = [tensors[name].dim() == n for name, n in DIMENSIONS.items() if name in tensors]
    if fits != [True] * 4 or len(tensors) != 4 or not isinstance(metadata.get("classes"), list):
        raise InputError(f"{path} holds no data set: {mend}")
    return tensors, metadata


def _dataset(name: str, tensors: dict[str, Tensor], classes: Any, flips: bool) -> Dataset:
    return Dataset(
        name=name,
        classes=tuple(classes),
        flips=flips,
        fingerprint=_fingerprint(tensors),
        **tensors,
    )


def _fingerprint(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over the images with their labels, in the order of their own SHA-256."""
    total = hashlib.sha256()
    for split in ("train", "test"):
        images, labels = tensors[f"{split}_images"], tensors[f"{split}_labels"]
        total.update(f"{split} {tuple(images.shape)};".encode())
        pairs = zip(images.flatten(1).numpy(), labels.tolist(), strict=True)
        total.update(
            b"".join(sorted(hashlib.sha256(b"%d;" % t + x.tobytes()).digest() for x, t in pairs))
        )
    return total.hexdigest()


def _digits() -> Dataset:
    """scikit-learn's digits, 8x8 with values 0 to 16, as images of 32x32 with values 0 to 255.

    They are enlarged to 24x24 and have a black margin of 4 pixels, since they touch their border:
    without it, the periodic continuation would join the top of a digit to its bottom.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch: Any = load_digits()
    # Bilinear interpolation in whole thirds: exact, so that all machines have the same images.
    centres = (np.arange(24) + 0.5) / 3 - 0.5
    thirds = np.stack([np.interp(centres, np.arange(8), row) for row in 3 * np.eye(8)], axis=1)
    thirds = thirds.round().astype(np.int64)
    large = thirds @ bunch.images.astype(np.int64) @ thirds.T  # 9 * 16 is white
    large = (large * 255 + 72) // 144
    images = F.pad(torch.from_numpy(large).to(torch.uint8).unsqueeze(1), (4, 4, 4, 4))
    train, test = train_test_split(
        np.arange(len(images)), test_size=360, random_state=0, stratify=bunch.target
    )
    labels = torch.as_tensor(bunch.target, dtype=torch.int64)
    tensors = {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
    }
    return _dataset("digits", tensors, [str(c) for c in bunch.target_names], flips=False)


def _imagefolder(name: str, path: Path, progress: bool) -> Dataset:
    """Images in PATH/train/CLASS/ and PATH/test/CLASS/, all of one size, read as RGB."""
    # Pillow is loaded only where it is needed.
    from forward_stability.experiments.pictures import digest, find_pictures, read_pictures

    if not path.exists() and (data_root() / path).is_dir():
        path = data_root() / path
    parts = {split: find_pictures(path / split) for split in ("train", "test")}
    train, test = (set(classes) for classes in parts.values())
    if train != test:
        different = ", ".join(sorted(train ^ test))
        raise InputError(f"{path}: train and test have different classes: {different}")
    classes, listing = list(parts["train"]), [digest(part) for part in parts.values()]
    key = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    cache = data_root() / f"imagefolder-{key}.safetensors"
    if cache.is_file():
        tensors, metadata = _cached(cache, f"delete {cache}")
        if metadata.get("listing") == listing:
            return _dataset(name, tensors, classes, flips=True)
    tensors = {}
    for split, part in parts.items():
        images, labels = read_pictures(part, split, progress)
        tensors |= {f"{split}_images": images, f"{split}_labels": labels}
    _keep(cache, tensors, {"classes": classes, "listing": listing})
    return _dataset(name, tensors, classes, flips=True)


def augment(images: Tensor, border: Tensor, shifts: Tensor, flips: Tensor) -> Tensor:
    """Each image shifted by up to 4 pixels, and flipped where ``flips`` says so.

    Every image is padded by 4 pixels on each side and cropped to its size at an offset of its own.

    Args:
        images: shape ``(batch, channels, height, width)``.
        border: the pixel to pad with, of the same dtype, shape ``(channels, 1, 1)``.
        shifts: int64 in 0, …, 8, shape ``(batch, 2)``: the row and the column where the crop
            begins in the padded image; 4 leaves the image where it is.
        flips: bool, shape ``(batch,)``.

    Returns:
        the same shape, in the memory layout ``channels_last``.

    Source: Sect. 4, "preprocessed and augmented as in [16]". Chapter 13.
    """
    n, _, h, w = images.shape
    device = images.device
    rows = shifts[:, :1] + torch.arange(h, device=device)
    columns = torch.arange(w, device=device).expand(n, w)
    columns = torch.where(flips[:, None], columns.flip(-1), columns) + shifts[:, 1:]
    padded = border.expand(n, -1, h + 2 * PAD, w + 2 * PAD).clone()
    padded[..., PAD:-PAD, PAD:-PAD] = images
    index = torch.arange(n, device=device).view(n, 1, 1)
    crops = padded[index, :, rows.unsqueeze(2), columns.unsqueeze(1)]
    return crops.permute(0, 3, 1, 2)
