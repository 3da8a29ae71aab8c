"""Every option of every command with values that nobody should give, and what becomes of them.

    python tools/hostile.py [COMMAND ...]

Commands and options are those that the parsers know. Each option gets each of ``VALUES`` in turn,
beside options with which the command works in a moment, in a folder with sixteen pictures and a
trained network. Either the command works, and prints and writes finite numbers, or it ends with
status 2 and one line on standard error, and the folder is as it was. What does neither is listed,
and makes the exit status 1.
"""

import argparse
import io
import json
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image

from forward_stability import cli

VALUES = ["0", "-5", str(2**64), "1e300", "inf", "nan", "", "nonsense"]
PATHS = ["nowhere/at/all", "locked", "loop"]
"""A path that is missing, a file that nobody but the superuser may read, and a circle of links."""

PICTURES = "imagefolder:images"
SMALL = {
    "dataset": PICTURES, "variant": "S", "blocks": "1", "width": "2", "steps": "4",
    "batch-size": "3", "evaluate-every": "4", "device": "cpu",
}  # fmt: skip
SWEEP = f"""
out = "runs"
dataset = ["{PICTURES}"]
variant = ["S"]
blocks = [1]
[options]
width = 2
steps = 4
batch_size = 3
"""

USUAL: dict[str, tuple[list[str], dict[str, str]]] = {
    "train": ([], SMALL | {"out": "new"}),
    "evaluate": (["run"], {"device": "cpu"}),
    "certify": (["run"], {}),
    "radii": (["run"], {"images": "2", "steps": "1", "restarts": "1"}),
    "sweep": (["sweep.toml"], {}),
    "ledger": (["."], {}),
    "noise": (["run"], {"out": "noise.json"}),
    "export": (["run"], {}),
    "data": ([PICTURES], {}),
}
"""What is given to each command beside the hostile value: arguments, and options."""


def prepare(folder: Path) -> None:
    """Fill a folder with what the commands need."""
    random = np.random.default_rng(0)
    for split, number in (("train", 5), ("test", 3)):
        for name in "ab":
            place = folder / "images" / split / name
            place.mkdir(parents=True)
            for k in range(number):
                pixels = random.integers(256, size=(6, 7, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{k}.png")
    (folder / "sweep.toml").write_text(SWEEP)
    (folder / "locked").write_bytes(b"\0")
    (folder / "locked").chmod(0)
    (folder / "loop").symlink_to("loop")
    with chdir(folder):
        status, _, error = run(["train", *words(SMALL | {"out": "run"})])
    if status != 0:
        raise SystemExit(f"the usual training fails: {error}")


def words(options: dict[str, str]) -> list[str]:
    """Options as words of a command line."""
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def run(command: list[str]) -> tuple[int | str, str, str]:
    """The status of a command, or what it raised, and what it printed."""
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error), warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            status: int | str = cli.main(command)
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        except Exception as exception:
            status = f"{type(exception).__name__}: {exception}"
    return status, out.getvalue(), error.getvalue()


def commands(name: str) -> Iterator[list[str]]:
    """A command line for each option and argument of a command and each value."""
    (actions,) = (
        action.choices[name]._actions
        for action in cli.build_parser(name)._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    positional, options = USUAL[name]
    for action in actions:
        if action.nargs == 0:  # --help
            continue
        for value in VALUES + PATHS:
            values = [value] * (action.nargs if isinstance(action.nargs, int) else 1)
            if action.option_strings:
                option = action.option_strings[-1]
                rest = {k: v for k, v in options.items() if f"--{k}" != option}
                yield [name, *positional, *words(rest), option, *values]
            else:
                yield [name, *values, *words(options)]


def content(folder: Path) -> dict[Path, bytes | str]:
    """What is in a folder: files with their bytes, links with where they lead."""
    paths = [path for path in folder.rglob("*") if path.is_symlink() or path.name != "locked"]
    return {
        path.relative_to(folder): os.readlink(path)
        if path.is_symlink()
        else (path.read_bytes() if path.is_file() else "")
        for path in paths
    }


def strict(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def fault(command: list[str], folder: Path) -> str | None:
    """What a command does that it should not, None if there is nothing."""
    before = content(folder)
    with chdir(folder):
        status, out, error = run(command)
    after = content(folder)
    if status == 2:
        if out or error.count("\n") != 1 or not error.startswith("forward-stability"):
            return f"more than one line: {out + error!r}"
        return f"left behind: {sorted(map(str, after.keys() ^ before))}" * (after != before) or None
    if status != 0:
        return f"{status}: {error!r}"
    if re.search(r"(?<!\S)[+-]?(nan|inf)(?!\S)", out, re.IGNORECASE):
        return f"no finite number: {out!r}"
    try:
        for path in folder.rglob("*.json"):
            json.loads(path.read_text("utf-8"), parse_constant=strict)
    except ValueError as exception:
        return f"{path.name}: {exception}"
    return None


def main(names: list[str]) -> int:
    """Print what is wrong; the exit status."""
    faults = number = 0
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["FORWARD_STABILITY_DATA"] = str(Path(scratch) / "data")
        original, folder = Path(scratch) / "original", Path(scratch) / "work"
        original.mkdir()
        prepare(original)
        for command in (line for name in names or cli.COMMANDS for line in commands(name)):
            number += 1
            shutil.copytree(original, folder, symlinks=True)
            if (text := fault(command, folder)) is not None:
                faults += 1
                print(f"forward-stability {' '.join(w or repr(w) for w in command)}\n    {text}")
            shutil.rmtree(folder)
    print(f"{number} commands, {faults} faults")
    return 1 if faults or not number else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
