"""Every option of every command with values that nobody should give, and what becomes of them.

    python tools/hostile.py [COMMAND ...]

Commands and options are those that the parsers know. Each option gets each of ``VALUES`` in turn,
beside options with which the command works in a moment, in a folder with sixteen pictures and a
trained network; so does each entry of a sweep file, in TOML. Either the command works, and prints
and writes finite numbers, or it ends with status 2 and one line on standard error, and the folder
is as it was. What does neither is listed, and makes the exit status 1.
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
from forward_stability.experiments.config import Config
from forward_stability.experiments.ledger import IDENTITY

VALUES = ["0", "-5", str(2**64), "1e300", "inf", "nan", "", "nonsense"]
PATHS = ["nowhere/at/all", "locked", "loop"]
"""A path that is missing, a file that nobody but the superuser may read, and a circle of links."""

PICTURES = "imagefolder:images"
SMALL = {
    "dataset": PICTURES, "variant": "S", "blocks": "1", "width": "2", "steps": "4",
    "batch-size": "3", "evaluate-every": "4", "device": "cpu",
}  # fmt: skip
ENTRIES = {
    "out": '"runs"', "jobs": "1", "threads": "1", "device": '"cpu"',
    "dataset": f'["{PICTURES}"]', "variant": '["S"]', "blocks": "[1]", "seed": "[0]",
}  # fmt: skip
OPTIONS = {"width": "2", "steps": "4", "batch_size": "3", "evaluate_every": "4"}
"""What is in a sweep file beside the hostile value: entries, and those of the table of options."""

LITERALS = ["0", "-5", str(2**64), "1e300", "inf", "nan", "true", "1979-05-27", "[]", "{}"]
LITERALS += [f'"{text}"' for text in ("", "nonsense", r"\u0000", *PATHS)]

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
    (folder / "sweep.toml").write_text(sweep_file(ENTRIES, OPTIONS))
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


def sweep_file(entries: dict[str, str], options: dict[str, str]) -> str:
    """The text of a sweep file."""
    lines = [f"{name} = {value}" for name, value in entries.items()]
    return "\n".join([*lines, "[options]", *(f"{k} = {value}" for k, value in options.items())])


def sweep_files() -> Iterator[tuple[str, str]]:
    """What a sweep file has that it should not, and the file: each value of each entry and option.

    The values of an entry that is a list are also given in one.
    """
    known = [f.name for f in Config.options() if f.name not in ENTRIES]
    for value in LITERALS:
        for name in (*ENTRIES, "nonsense"):
            yield f"{name} = {value}", sweep_file(ENTRIES | {name: value}, OPTIONS)
        for name in IDENTITY:
            yield f"{name} = [{value}]", sweep_file(ENTRIES | {name: f"[{value}]"}, OPTIONS)
        for name in (*known, "nonsense"):
            yield f"options.{name} = {value}", sweep_file(ENTRIES, OPTIONS | {name: value})
        if value != "{}":  # that is the training of the paper
            yield f"options = {value}", f"options = {value}"


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
    cases = [(command, "", "") for name in names or cli.COMMANDS for command in commands(name)]
    if not names or "sweep" in names:
        cases += [(["sweep", "sweep.toml"], entry, text) for entry, text in sweep_files()]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["FORWARD_STABILITY_DATA"] = str(Path(scratch) / "data")
        original, folder = Path(scratch) / "original", Path(scratch) / "work"
        original.mkdir()
        prepare(original)
        for command, entry, file in cases:
            number += 1
            shutil.copytree(original, folder, symlinks=True)
            if entry:
                (folder / "sweep.toml").write_text(file)
            if (text := fault(command, folder)) is not None:
                faults += 1
                line = " ".join(word or repr(word) for word in command)
                print(f"forward-stability {line} {entry}\n    {text}")
            shutil.rmtree(folder)
    print(f"{number} commands, {faults} faults")
    return 1 if faults or not number else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
