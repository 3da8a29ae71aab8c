"""Execute notebooks in place, as a reader would, and store their outputs.

Usage: python tools/execute.py book/01_relu_is_a_proximal_step.ipynb ...

A notebook is written only if no cell raises and none writes to stderr. What differs from run to
run or from machine to machine (times, widget addresses, versions, cell ids) is left out, so that a
difference between two versions is a difference in the chapter.
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from forward_stability.experiments.storage import write_bytes

WIDGET = "application/vnd.jupyter.widget-view+json"
TIMEOUT = 120  # seconds a cell, as in a build of the book

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells of the notebook in a fresh kernel whose working directory is ``folder``.

    Raises:
        CellExecutionError: if a cell raises.
        ValueError: if a cell writes to stderr.
    """
    os.environ.pop("FORWARD_STABILITY_PAGE", None)  # live sliders, not pages
    NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    ).execute()
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise ValueError(f"cell {number} writes to stderr:\n{output['text']}")


def tidy(notebook: NotebookNode) -> None:
    """Remove what would differ in the next run."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    ids = set()
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()
        cell.id = next(i for n in range(56) if (i := digest[n : n + 8]) not in ids)
        ids.add(cell.id)
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data.pop(WIDGET, None)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook whole or not at all."""
    nbformat.validate(notebook)
    write_bytes(path, (nbformat.writes(notebook) + "\n").encode())


def main() -> int:
    parser = argparse.ArgumentParser(description="Execute notebooks in place.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.ipynb")
    failed = False
    for path in parser.parse_args().files:
        notebook = nbformat.read(path, as_version=4)
        try:
            execute(notebook, path.parent.resolve())
        except (CellExecutionError, ValueError) as error:
            print(f"{path}: not written: {error}", file=sys.stderr)
            failed = True
            continue
        tidy(notebook)
        write(notebook, path)
        print(f"{path}: executed, {path.stat().st_size / 1000:.0f} kB")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
