"""Pictures in folders by class as tensors: what counts as a class, as a picture and as a pixel.

A picture is read as it is shown, in 8 bits a channel. What cannot be read so without a guess (two
frames, pixels one can see through, numbers without a range) is refused by name. Chapter 13.
"""

import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm.auto import tqdm

from forward_stability.errors import InputError

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What is read, by Pillow's names. Others can run programs (EPS) or are no pictures (HDF5)."""

VERSION = 1
"""Counts the changes of what the same files are read as."""

Classes = dict[str, list[Path]]
"""The files of each class, by its name, in order."""


def find_pictures(folder: Path) -> Classes:
    """The pictures in FOLDER/CLASS/, at any depth.

    What begins with a dot is hidden and no part of the data, such as ``.ipynb_checkpoints``. Other
    files that are no pictures are left out with a warning.

    Raises:
        InputError: if there is no class, a class is empty, a picture is in none, or a link leads
            back to where it is.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is missing: put images in {folder}/CLASS/")
    entries = _visible(folder)
    stray = [path for path in entries if _is_picture(path)]
    if stray:
        raise InputError(f"{stray[0]} is in no class: move it to {folder}/CLASS/")
    classes: Classes = {}
    for path in entries:
        if path.is_dir():
            files = list(_files(path, [folder.resolve()]))
            name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
            classes[name] = [file for file in files if _is_picture(file)]
            if not classes[name]:
                what = "holds no images" if files else "is empty"
                raise InputError(f"the class folder {path} {what}: fill it or remove it")
            if other := [file for file in files if not _is_picture(file)]:
                warnings.warn(
                    f"{len(other)} files in {path} are no images and are left out, such as "
                    f"{other[0].name}",
                    stacklevel=2,
                )
    if not classes:
        raise InputError(f"{folder} holds no images in folders by class")
    return classes


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_picture(path: Path) -> bool:
    Image.init()
    return Image.registered_extensions().get(path.suffix.lower()) in FORMATS and not path.is_dir()


def _files(folder: Path, above: list[Path]) -> Iterator[Path]:
    """All files in a folder; ``above`` are the folders around it, without links."""
    here = folder.resolve()
    if any(outer.is_relative_to(here) for outer in above):
        raise InputError(f"{folder} is a link to a folder that it lies in: remove it")
    for path in _visible(folder):
        if path.is_dir():
            yield from _files(path, [*above, here])
        else:
            yield path


def digest(classes: Classes) -> str:
    """SHA-256 over all that the tensors of the pictures depend on."""
    total = hashlib.sha256(f"{VERSION} {PIL.__version__}".encode())
    for name, files in classes.items():
        total.update(f"{name!r} {len(files)};".encode())
        for file in files:
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def read_pictures(classes: Classes, what: str, progress: bool) -> tuple[Tensor, Tensor]:
    """The pictures, all of one size, and the numbers of their classes.

    Args:
        classes: from :func:`find_pictures`.
        what: they are, for the progress bar.
        progress: show it.

    Returns:
        uint8, shape ``(n, 3, height, width)``, and int64, shape ``(n,)``.

    Raises:
        InputError: if one cannot be read or has another size.
    """
    arrays: list[np.ndarray] = []
    files = [file for members in classes.values() for file in members]
    for file in tqdm(files, desc=f"reading {what} images", disable=not progress or None):
        array = read_picture(file)
        if arrays and array.shape != arrays[0].shape:
            (h, w), (h0, w0) = array.shape[:2], arrays[0].shape[:2]
            raise InputError(f"{file} has {w}x{h} pixels, the images before it {w0}x{h0}")
        arrays.append(array)
    counts = torch.tensor([len(members) for members in classes.values()])
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    return images, torch.arange(len(counts)).repeat_interleave(counts)


def read_picture(file: Path) -> np.ndarray:
    """One picture, upright, uint8 of shape ``(height, width, 3)``.

    Raises:
        InputError: if it cannot be read as one picture without a guess.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            return _pixels(image)
    except Exception as error:  # decoders raise whatever they stumble upon
        size = f" ({file.stat().st_size:,} bytes)" if file.is_file() else ""
        raise InputError(
            f"{file}{size} cannot be read as an image ({error or type(error).__name__}): "
            "replace or remove it"
        ) from error


def _pixels(image: Any) -> np.ndarray:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a photograph with its previews
        raise InputError(f"it holds {frames} pictures, not one")
    if image.mode[0] in "IF":
        return _grey(image)
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            raise InputError("one can see through some pixels, whose colour is then a guess")
    return np.asarray(image.convert("RGB"))


def _grey(image: Any) -> np.ndarray:
    """Grey values of more than 8 bits, divided by their range."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(258, (16,))[0]
    # Pillow reads PNG and PPM of 16 bits as I;16 or as I, depending on its version.
    known = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if not known or tags.get(262, 1) != 1 or "transparency" in image.info:
        raise InputError(
            f"the range of its pixels (mode {image.mode}) is not known: save it with 8 or 16 bits"
        )
    top = 2**bits - 1
    values = np.asarray(ImageOps.exif_transpose(image)).astype(np.int64)
    grey = (2 * 255 * values + top) // (2 * top)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
