"""Every chapter is stored executed, so that nbval compares each of its cells."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
LARGEST = 1_000_000  # bytes of a notebook with its outputs
INSTALL = """\
try:
    import forward_stability
except ImportError:  # in Colab, for example
    %pip install --quiet git+{repository}"""


def read_toc() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    chapters = [chapter for part in toc.get("parts", []) for chapter in part["chapters"]]
    return [toc["root"], *(chapter["file"] for chapter in chapters)]


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def test_contents_and_folder_agree():
    files = [*CHAPTERS, *(ROOT / "book").glob("*.md")]
    pages = [path.relative_to(ROOT).with_suffix("").as_posix() for path in files]
    assert sorted(read_toc()) == sorted(pages)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
class TestChapter:
    def test_every_code_cell_was_executed_in_order(self, path):
        counts = [cell.execution_count for cell in code_cells(path)]
        assert counts == list(range(1, len(counts) + 1)), f"run tools/execute.py {path.name}"

    def test_first_cell_installs_the_package_where_it_is_missing(self, path):
        settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
        first = code_cells(path)[0]
        assert first.source == INSTALL.format(repository=settings["repository"]["url"])
        assert first.metadata.tags == ["remove-cell"]  # a page does not need it

    def test_no_cell_failed_or_warned(self, path):
        for cell in code_cells(path):
            for output in cell.outputs:
                assert output.output_type != "error"
                assert output.get("name") != "stderr"

    def test_no_widget_state(self, path):
        assert "widgets" not in nbformat.read(path, as_version=4).metadata
        assert "widget-view" not in path.read_text("utf-8")

    def test_figures_pass_through_the_package(self, path):
        assert "pyplot" not in path.read_text("utf-8")

    def test_directives_show_in_jupyterlab_too(self, path):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                assert not re.search(r"^\s*`{3,}\s*\{", cell.source, re.MULTILINE), cell.source

    def test_directives_read_well_in_colab(self, path):
        """Colab shows the opening line as text: what follows is then a paragraph of its own."""
        glued = re.compile(r"^\s*:{3,}\{.*\n(?:\s*:\w[\w-]*:.*\n)*(?!\s*$|\s*:).+", re.MULTILINE)
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                assert not glued.search(cell.source), cell.source

    def test_size(self, path):
        assert path.stat().st_size <= LARGEST
