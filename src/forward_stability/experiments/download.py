"""The data sets that come through torchvision: fetched, gone on with after a break, and checked."""

import hashlib
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from forward_stability.errors import InputError
from forward_stability.experiments.storage import write_bytes


@dataclass(frozen=True)
class Source:
    """Where a data set comes from: its class in ``torchvision.datasets``.

    ``flips`` says whether a mirrored image keeps its class.
    """

    name: str
    flips: bool

    @property
    def dataset(self) -> Any:
        """The class, which is imported when it is needed."""
        from torchvision import datasets

        return getattr(datasets, self.name)

    def archives(self) -> dict[str, tuple[str, str]]:
        """By path below torchvision's folder: the address and the MD5 sum of each archive."""
        cls = self.dataset
        if hasattr(cls, "tgz_md5"):  # CIFAR
            return {cls.filename: (cls.url, cls.tgz_md5)}
        base = cls.mirrors[-1]
        return {f"{self.name}/raw/{file}": (base + file, md5) for file, md5 in cls.resources}


SETS = {
    "cifar10": Source("CIFAR10", flips=True),
    "cifar100": Source("CIFAR100", flips=True),
    "mnist": Source("MNIST", flips=False),
    "fashion-mnist": Source("FashionMNIST", flips=True),
}
"""The data sets by name."""


def read_set(
    name: str, root: Path, mend: str, *, download: bool, mirror: str | None, progress: bool
) -> tuple[dict[str, Tensor], list[str]]:
    """Images and labels of one of :data:`SETS`, and the names of its classes.

    Args:
        name: of the set.
        root: torchvision's folder. Files that lie there unpacked are used; else the archives are
            fetched if need be, checked and unpacked.
        mend: what the reader can do about a missing or damaged file; it ends the error message.
        download: fetch archives that are missing.
        mirror: the address of a folder that holds the same archives.
        progress: show a progress bar.

    Returns:
        ``train_images``, ``test_images``: uint8, shape ``(n, channels, height, width)``;
        ``train_labels``, ``test_labels``: int64, shape ``(n,)``; and the names.

    Raises:
        InputError: if files are missing, cut short or altered.
    """
    source = SETS[name]
    parts = _unpacked(source, root, mend)
    if parts is None:
        for place, (url, md5) in source.archives().items():
            archive = root / place
            if not archive.is_file():
                if not download:
                    raise InputError(
                        f"{name} is not here ({archive} is missing): {mend} to fetch it"
                    )
                address = f"{mirror.rstrip('/')}/{archive.name}" if mirror else url
                fetch(address, archive, md5, progress)
            check(archive, md5, mend)
        if hasattr(source.dataset, "tgz_md5"):
            _unpack(source.dataset, root)
        # All archives are verified, so torchvision unpacks those of MNIST and does not download.
        parts = _open(source, root, download=True)
    tensors = {}
    for split, part in zip(("train", "test"), parts, strict=True):
        images = torch.as_tensor(part.data)
        images = images.unsqueeze(1) if images.dim() == 3 else images.permute(0, 3, 1, 2)
        tensors[f"{split}_images"] = images.contiguous()
        tensors[f"{split}_labels"] = torch.as_tensor(part.targets, dtype=torch.int64)
    return tensors, list(parts[0].classes)


def _unpack(cls: Any, root: Path) -> None:
    """Write the files of CIFAR's verified archive that torchvision reads.

    What torchvision calls for it warns from Python 3.12 on, and does something else in 3.14.
    """
    with tarfile.open(root / cls.filename) as archive:
        for file, _ in (*cls.train_list, *cls.test_list, (cls.meta["filename"], "")):
            name = f"{cls.base_folder}/{file}"
            if (content := archive.extractfile(name)) is not None:
                write_bytes(root / name, content.read())


def _open(source: Source, root: Path, download: bool) -> list[Any]:
    """The training and the test set as torchvision reads them."""
    return [source.dataset(root, train=train, download=download) for train in (True, False)]


def _unpacked(source: Source, root: Path, mend: str) -> list[Any] | None:
    """The sets if their files lie unpacked where torchvision looks for them, else None.

    torchvision checks the MD5 sums of CIFAR's files and the sizes in the headers of MNIST's.

    Raises:
        InputError: if a file of MNIST is cut short or of another kind.
    """
    try:
        return _open(source, root, download=False)
    except (AssertionError, RuntimeError, ValueError) as error:
        if str(error).startswith("Dataset not found"):
            return None
        folder = (root / next(iter(source.archives()))).parent
        raise InputError(f"a file in {folder} is damaged: delete the folder and {mend}") from error


def check(path: Path, md5: str, mend: str) -> None:
    """Raise InputError unless the file has the MD5 sum."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        size = path.stat().st_size
        raise InputError(
            f"{path} ({size:,} bytes) is damaged: MD5 {found}, expected {md5}: delete it and {mend}"
        )


def fetch(url: str, path: Path, md5: str, progress: bool = True) -> None:
    """Download a file, going on where an earlier try stopped, and check its MD5 sum.

    What has come so far is kept beside it under ``.part``. The progress bar says how long it will
    take: the original host of CIFAR was slowed to about an hour in June 2026, a mirror helps.

    Raises:
        InputError: if the host cannot be reached or does not send the file; what has come is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    go_on = "run the command again to go on, or try --mirror"
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            resumed = response.status == 206
            if resumed and not response.headers.get("Content-Range", f"bytes {have}-").startswith(
                f"bytes {have}-"
            ):
                raise InputError(f"{url} sends another part than was asked for; try --mirror")
            done = have if resumed else 0
            length = response.headers.get("Content-Length", "")
            total = done + int(length) if length.isdecimal() else None
            bar = tqdm(
                total=total,
                initial=done,
                unit="B",
                unit_scale=True,
                desc=path.name,
                disable=not progress or None,
            )
            with bar, part.open("ab" if resumed else "wb") as file:
                while block := response.read1(1 << 16):
                    file.write(block)
                    bar.update(len(block))
        if total is not None and (size := part.stat().st_size) < total:
            raise ConnectionError(f"after {size:,} of {total:,} bytes")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part is already whole
            raise InputError(f"cannot download {url}: {error}; try --mirror") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
        what = str(error) or type(error).__name__
        raise InputError(f"the download of {url} broke off ({what}); {go_on}") from error
    check(part, md5, "run the command again")
    part.replace(path)
