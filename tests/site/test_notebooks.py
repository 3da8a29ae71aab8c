"""Every chapter is stored executed, so that nbval compares each of its cells."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml
from address import UNPUBLISHED, current, first_cell

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
NUMBERED = [path for path in CHAPTERS if re.match(r"(?!00)\d", path.stem)]
LARGEST = 1_000_000  # bytes of a notebook with its outputs


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
        first = code_cells(path)[0]
        source = None if current() == UNPUBLISHED else f"git+{current()}"
        assert first.source == first_cell(source)
        assert first.metadata.tags == ["remove-cell"]  # a page does not need it

    def test_the_import_cell_is_short(self, path):
        assert len(code_cells(path)[1].source.splitlines()) <= 10

    def test_a_cell_that_makes_a_figure_shows_it(self, path):
        for cell in code_cells(path):
            if re.search(r"^(live|explore|question)\(", cell.source, re.MULTILINE):
                assert any("data" in output for output in cell.outputs), cell.id

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


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
class TestExercises:
    def test_every_exercise_has_a_folded_solution(self, path):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        exercises = re.findall(r"^:::\{exercise\}.*\n:label: (\S+)$", text, re.MULTILINE)
        solutions = re.findall(
            r"^:::\{solution(?:-start)?\} (\S+)\n:class: dropdown$", text, re.MULTILINE
        )
        assert exercises == solutions
        assert len(exercises) >= 3
        start = next(i for i, cell in enumerate(cells) if "{solution-start}" in cell.source)
        end = next(i for i, cell in enumerate(cells) if "{solution-end}" in cell.source)
        assert any(cell.cell_type == "code" for cell in cells[start:end])

    def test_it_asks_a_question(self, path):
        """On the page the answer is checked without a kernel, and nobody has typed it there."""
        asking = [cell for cell in code_cells(path) if "question(" in cell.source]
        assert asking
        for cell in asking:
            assert cell.metadata.tags == ["hide-input"]
            answer = re.search(r"question\(\n.*\n(.*),\n", cell.source)
            assert answer is not None
            assert not re.fullmatch(r"\s*[-\d._e]+", answer[1]), "compute the answer"
