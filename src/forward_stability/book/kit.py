"""What every chapter imports: figures, sliders, questions, asserted numbers, stored results."""

from typing import Any

from forward_stability.book.explore import explore
from forward_stability.book.figures import COLOURS, figure, show
from forward_stability.book.question import question
from forward_stability.book.reporting import report
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.storage import read_json

__all__ = ["COLOURS", "explore", "figure", "load_result", "question", "report", "show"]


def load_result(name: str) -> Any:
    """A result that comes with the book, such as "shifts.json".

    Raises:
        InputError: if there is none of this name.
    """
    return read_json(results_root() / name)
