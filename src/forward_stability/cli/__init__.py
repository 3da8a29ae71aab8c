"""The command ``forward-stability``: one module a command, with its options and what it does.

A module is imported when its command is given, so that ``--help`` and ``--version`` load nothing.
Input that a user can mend ends in one line on standard error and exit status 2.
"""

import argparse
import io
import re
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from forward_stability import __version__
from forward_stability.errors import InputError

COMMANDS = {
    "train": "train a network",
    "evaluate": "test a trained network, on corrupted images too",
    "certify": "what Theorems 5 and 6 say about a trained network",
    "radii": "certified radii of a trained network, and attacks on it",
    "sweep": "train every combination that a file lists",
    "ledger": "write the table of all runs in a folder",
    "noise": "measure trained networks on corrupted images (Table 4)",
    "export": "write a trained network as one compact file for the browser",
    "data": "fetch and check a data set",
}
"""What there is. ``cli/NAME.py`` has ``DESCRIPTION``, ``add_options(parser)``, ``run(args)``."""

FORMER = {"bounds": "certify"}
"""Commands that have another name now."""

OUT_OF_MEMORY = "can't allocate memory|not enough memory|out of memory"
"""How PyTorch says so on Linux, on Windows and of a GPU."""


class Parser(argparse.ArgumentParser):
    """Errors on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def module(command: str) -> ModuleType:
    """The module of a command.

    Raises:
        InputError: if it needs a package that is not installed.
    """
    try:
        return import_module(f"forward_stability.cli.{FORMER.get(command, command)}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("forward_stability"):
            raise
        raise InputError(
            f"{command} needs {error.name}: pip install 'forward-stability[book]'"
        ) from None


def build_parser(command: str | None = None) -> Parser:
    """The parser of the command line.

    Args:
        command: the one whose options are wanted; of the others it knows the names.
    """
    parser = Parser(prog="forward-stability", description="Train and examine stable ResNets.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    names = COMMANDS | {old: f"the former name of {new}" for old, new in FORMER.items()}
    for name, text in names.items():
        details: dict[str, Any] = {}
        if name == command:
            details["description"] = module(name).DESCRIPTION
        sub = commands.add_parser(name, help=text, **details)
        if name == command:
            module(name).add_options(sub)
    return parser


def show_warning(message: Warning | str, *_details: Any) -> None:
    """A warning on one line."""
    print(f"forward-stability: warning: {' '.join(str(message).split())}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # σ where the stream has no σ, as in cp1252
        sys.stdout.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    command = next((word for word in words if not word.startswith("-")), None)
    try:
        args = build_parser(command).parse_args(words)
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            if args.command in FORMER:
                show_warning(f"{args.command} is called {FORMER[args.command]} now")
            return module(args.command).run(args) or 0
    except (InputError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"forward-stability: error: {message}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or re.search(OUT_OF_MEMORY, str(error))):
            raise
        print("forward-stability: error: this takes more memory than there is", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("forward-stability: stopped; the same command goes on", file=sys.stderr)
        return 130
