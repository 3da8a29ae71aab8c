"""The page that a build writes about itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

EXTENSIONS = Path(__file__).resolve().parents[2] / "book" / "_ext"

STATUS = """# Status

:::{build-status} environment
:::

:::{build-status} times
:::

:::{build-status} data
:::
"""

CONF = """
extensions = ["myst_nb", "status"]
language = "en"
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "cache"
"""


def test_status_of_a_small_book(tmp_path: Path):
    source = tmp_path / "book"
    source.mkdir()
    for name, seconds in (("quick", 0), ("slow", 8)):  # a busy kernel starts in seconds
        cells = [
            new_markdown_cell(f"# A {name} page"),
            new_code_cell(f"import time\ntime.sleep({seconds})"),
        ]
        notebook = new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, source / f"{name}.ipynb")
    (source / "status.md").write_text(STATUS)
    (source / "index.md").write_text("# Book\n\n:::{toctree}\nquick\nslow\nstatus\n:::\n")
    (source / "conf.py").write_text(CONF)
    for _ in range(2):  # from nothing, and with all notebooks in the cache
        subprocess.run(
            [sys.executable, "-m", "sphinx", "-W", "book", "site/html"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{EXTENSIONS}", "FORWARD_STABILITY_DATA": "data"},
            check=True,
            capture_output=True,
        )
        page = (tmp_path / "site/html/status.html").read_text("utf-8")
        rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)
        cells = [
            [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", r)] for r in rows
        ]
        table = {cell[0]: cell[1] for cell in cells if cell}
        assert table["Python"] == ".".join(map(str, sys.version_info[:3]))
        assert table["digits"] == "comes with scikit-learn"
        assert table["cifar10"].startswith("not here")
        names = [name for name in table if name.startswith("A ")]
        assert names == ["A slow page", "A quick page"]
        assert 8 <= float(table["A slow page"]) < float(table["all pages"])
        assert 'href="slow.html">A slow page' in page.partition("<table")[2]
