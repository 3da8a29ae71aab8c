"""What a number depends on besides code and data: versions, hardware, commit, command."""

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from forward_stability import __version__
from forward_stability.experiments.storage import read_json

PACKAGE = Path(__file__).parents[1]


def results_root() -> Path:
    """The folder of the results that come with the book.

    An installed wheel carries it inside the package; in a checkout it lies at the top.
    """
    carried = PACKAGE / "results"
    return carried if carried.is_dir() else PACKAGE.parents[1] / "results"


def load_result(name: str) -> Any:
    """A result that comes with the book, such as "shifts.json".

    Raises:
        InputError: if there is none of this name.
    """
    return read_json(results_root() / name)


def environment(device: str) -> dict[str, str]:
    """Versions, hardware and commit."""
    return {
        "package": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "device": device,
        "hardware": hardware(device),
        "threads": str(torch.get_num_threads()),
    }


def hardware(device: str) -> str:
    """The name of the processor or the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit of the checkout that the package is imported from, "+" if it was changed.

    It is unknown where the package was installed, be it in a folder of another repository.
    """
    top = PACKAGE.parents[1]
    others = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(top), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=others)
        return done.stdout.strip()

    try:
        ours = 'name = "forward-stability"' in (top / "pyproject.toml").read_text("utf-8")
        if not ours or Path(git("rev-parse", "--show-toplevel")) != top.resolve():
            return "unknown"
        git("ls-files", "--error-unmatch", str(PACKAGE / "__init__.py"))
        changed = git("status", "--short", str(PACKAGE))
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def command() -> str:
    """The command that is running, such as ``python studies/shifts.py digits-S-m3-seed0``.

    A script is named as seen from the top of the checkout, a folder of images as DIR.
    """
    script, root = Path(sys.argv[0]).resolve(), PACKAGE.parents[1]
    here = script.is_relative_to(root) and script.suffix == ".py"
    name = ["python", script.relative_to(root).as_posix()] if here else [script.name]
    words = (re.sub("imagefolder:.*", "imagefolder:DIR", word) for word in sys.argv[1:])
    return " ".join([*name, *words])
