"""What the words of the command line may be: types for argparse, shared by all commands.

Each takes the text of one argument and returns its value. A text that does not fit raises
``argparse.ArgumentTypeError`` with what would; the command then ends in one line and status 2
before it has loaded or written anything. What depends on data is checked where the data are.
"""

import math
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from urllib.parse import urlsplit

from forward_stability.errors import InputError
from forward_stability.experiments.storage import user_path


def integer(text: str, low: int = -(2**63), high: int = 2**63 - 1) -> int:
    """A whole number from low to high; by default, one of 64 bits."""
    try:
        value = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text[:40]!r} is no whole number") from None
    if value < low:
        raise ArgumentTypeError(f"must be at least {low}, got {text[:40]}")
    if value > high:
        raise ArgumentTypeError(f"must be at most {high}, got {text[:40]}")
    return value


def count(text: str) -> int:
    """How many: a whole number of at least 1."""
    return integer(text, 1)


def index(text: str) -> int:
    """A place in a list, the first of which is 0."""
    return integer(text, 0)


def seed(text: str) -> int:
    """What random numbers depend on: from 0 to 2⁶⁴ − 1, as PyTorch takes them."""
    return integer(text, 0, 2**64 - 1)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text[:40]!r} is no number") from None
    if not math.isfinite(value):
        raise ArgumentTypeError(f"must be finite, got {text}")
    return value


def level(text: str) -> float:
    """How strong noise is, on the scale where pixels are in [0, 1]: from 0 to a million."""
    value = number(text)
    if not 0 <= value <= 1e6:
        raise ArgumentTypeError(f"must be from 0 to 1e6, as pixels are in [0, 1], got {text}")
    return value


def path(text: str) -> Path:
    """A file or folder, there or not; ``~`` is the home folder."""
    if not text.strip():
        raise ArgumentTypeError("the path is empty")
    try:
        return user_path(text)
    except InputError as error:
        raise ArgumentTypeError(str(error)) from None


def address(text: str, schemes: tuple[str, ...], example: str) -> str:
    """An address SCHEME://HOST, with a port where there is one.

    Args:
        text: the argument.
        schemes: those it may have.
        example: of an address, for the message.
    """
    try:
        parts = urlsplit(text)
        fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ArgumentTypeError(f"{text!r} is no address such as {example}")
    return text


def web_folder(text: str) -> str:
    """The address of a folder on the web."""
    return address(text, ("http", "https", "ftp"), "https://example.org/folder")


def scheduler(text: str) -> str:
    """The address of a Dask scheduler, with its port."""
    example = "tcp://host:8786"
    address(text, ("tcp", "tls", "ucx", "ws", "wss"), example)
    if urlsplit(text).port is None:
        raise ArgumentTypeError(f"{text!r} lacks a port: write it as {example}")
    return text


def add_effort(parser: ArgumentParser) -> None:
    """How far a constant is sharpened."""
    parser.add_argument(
        "--multipliers", action="store_true",
        help="seek the best multipliers of chapter 15: sharper, in seconds a residual layer",
    )  # fmt: skip
    parser.add_argument(
        "--chained", action="store_true",
        help="seek weights that are handed on from layer to layer, too: minutes a network",
    )  # fmt: skip
