"""Run every chapter as Colab would: the package missing, and nothing but Colab's packages there.

Usage: python tools/colab_check.py [book/04_growth.ipynb ...]

A virtual environment is made in a temporary folder. It gets links to the packages of
:data:`PREINSTALLED` and what they require, taken from the Python that runs this script, so that
nothing large is downloaded; no other package can be imported there. The chapters are copied to an
empty folder and run one after another, each with the package uninstalled before. Their first cell
installs it as it does for a reader, except that the wheel built from this checkout stands in place
of the repository's address; what Colab lacks comes from PyPI.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nbformat
from address import first_cell
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PREINSTALLED = (
    *("torch", "torchvision", "numpy", "scipy", "scikit-learn", "matplotlib"),
    *("ipywidgets", "ipykernel", "nbclient"),
)
RUN = """
import sys, nbformat
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=600).execute()
"""


def required(names: tuple[str, ...]) -> set[str]:
    """The installed packages among the names and all that they require, however indirectly."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:  # required on other systems only
            continue
        found.add(name)
        for line in requirements:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def link_packages(names: set[str], folder: Path) -> None:
    """Fill the folder with links to the top-level files and folders of the packages."""
    folder.mkdir()
    for name in names:
        package = distribution(name)
        for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            link, target = folder / top, Path(str(package.locate_file(top)))
            if not link.exists():
                link.symlink_to(target)


def make_environment(folder: Path) -> Path:
    """A virtual environment with Colab's packages; returns the path of its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    link_packages(required(PREINSTALLED), folder / "preinstalled")
    (site / "preinstalled.pth").write_text(f"{folder / 'preinstalled'}\n")
    return python


def build_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the chapters as Colab would.")
    parser.add_argument("chapters", nargs="*", type=Path, metavar="CHAPTER.ipynb")
    chapters = parser.parse_args().chapters or sorted((ROOT / "book").glob("*.ipynb"))
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, python = build_wheel(folder), make_environment(folder / "venv")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "JUPYTER"))}
        clean["PATH"] = f"{python.parent}{os.pathsep}{clean['PATH']}"
        work = folder / "content"
        work.mkdir()
        for chapter in chapters:
            notebook = nbformat.read(chapter, as_version=4)
            first = next(cell for cell in notebook.cells if cell.cell_type == "code")
            first.source = first_cell(wheel.as_uri())
            nbformat.write(notebook, work / chapter.name)
            remove = [python, "-m", "pip", "uninstall", "-q", "-y", "forward-stability"]
            subprocess.run(remove, check=True, cwd=work, env=clean, stderr=subprocess.DEVNULL)
            start = time.perf_counter()
            command = [python, "-c", RUN, chapter.name]
            result = subprocess.run(command, cwd=work, env=clean, capture_output=True, text=True)
            seconds = time.perf_counter() - start
            verdict = "runs" if result.returncode == 0 else f"fails\n{result.stderr}"
            print(f"{chapter.stem:28} {seconds:5.1f} s  {verdict}", flush=True)
            if result.returncode != 0:
                failed.append(chapter)
    print(f"{len(chapters) - len(failed)} of {len(chapters)} chapters run")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
