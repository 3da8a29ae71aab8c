"""Files that are whole or absent: atomic writing, and tensors with a checksum.

Tensors are kept as safetensors, which hold numbers and text only: reading one never runs code.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from forward_stability.errors import InputError

ESCAPED = "backslashreplace"
r"""How a name that is not UTF-8 is written: as \udce9, which JSON reads as that name."""


def user_path(text: str | Path) -> Path:
    """A path as people write it: ``~`` is the home folder.

    Raises:
        InputError: if the home folder cannot be found.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError(
            f"{text} is in a home folder that cannot be found: write the whole path, or set HOME "
            "or FORWARD_STABILITY_DATA"
        ) from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one beside it, so that a crash leaves the old or the new.

    Raises:
        OSError: if it cannot be written (disk full, no permission); the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """See that a file can be written, before the work for it is done.

    Raises:
        InputError: if it is a folder.
        OSError: if it cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file")
    try:
        with TemporaryFile(dir=next(p for p in path.absolute().parents if p.exists())):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error


def to_json(value: Any, **options: Any) -> str:
    """A value as JSON, which has no NaN and no infinity.

    Raises:
        InputError: if a number is not finite.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError as error:
        raise InputError(f"a result is not finite and cannot be written: {error}") from error


def from_json(text: str) -> Any:
    """The inverse of :func:`to_json`.

    Raises:
        ValueError: if it is not JSON, or a number is not finite.
    """

    def number(word: str) -> float:
        if not isfinite(value := float(word)):
            raise ValueError(f"{word} is not finite")
        return value

    try:
        return json.loads(text, parse_float=number, parse_constant=number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically.

    Raises:
        InputError: if a number is not finite.
    """
    text = to_json(value, indent=2, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode("utf-8", ESCAPED))


def read_json(path: Path, kind: type = object) -> Any:
    """Read JSON.

    Args:
        path: the file.
        kind: what it must hold, ``dict`` or ``list``.

    Raises:
        InputError: if the file is missing, is not JSON or holds something else.
    """
    try:
        value = from_json(path.read_text("utf-8-sig"))  # some editors begin a file with a mark
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): restore or delete it") from None
    if not isinstance(value, kind):
        raise InputError(f"{path} must hold a {kind.__name__}, not {value!r:.40}: restore it")
    return value


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and values of the tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tensors_to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    """Tensors and JSON metadata as the bytes of a safetensors file, with a checksum.

    The same tensors and metadata are the same bytes: the library writes the keys of the header in
    an order that changes from call to call, so they are sorted.

    Source: the format of safetensors: the size of the header in 8 bytes, the header, the tensors.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"metadata": to_json(dict(metadata)), "sha256": checksum(whole)}
    content = safetensors.torch.save(whole, header)
    whole_header, rest = _split(content)
    text = json.dumps(whole_header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + rest


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and its tensors."""
    end = 8 + int.from_bytes(content[:8], "little")
    return from_json(content[8:end].decode()), content[end:]


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write :func:`tensors_to_bytes` to a file, atomically."""
    write_bytes(path, tensors_to_bytes(tensors, metadata))


def load_tensors(path: Path, mend: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and metadata written by :func:`save_tensors`.

    Args:
        path: the file.
        mend: what the reader can do when the file is no good; it ends the error message.

    Raises:
        InputError: if the file is missing, cut short, altered or of another kind.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: {mend}")
    try:
        content = path.read_bytes()  # the library opens no name that is not UTF-8
        tensors = safetensors.torch.load(content)
        header, _ = _split(content)
        expected = header["__metadata__"]["sha256"]
        metadata = from_json(header["__metadata__"]["metadata"])
        if not isinstance(metadata, dict):
            raise ValueError("the metadata is no table")
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        size = path.stat().st_size
        raise InputError(
            f"{path} ({size:,} bytes) is damaged or no file of ours: {mend}"
        ) from error
    found = checksum(tensors)
    if found != expected:
        raise InputError(f"{path} was altered: SHA-256 {found}, expected {expected}: {mend}")
    return tensors, metadata
