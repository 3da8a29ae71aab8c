"""What every chapter imports: figures, sliders, questions, asserted numbers."""

from forward_stability.book.explore import explore
from forward_stability.book.figures import COLOURS, figure, show
from forward_stability.book.live.figure import live
from forward_stability.book.question import question
from forward_stability.book.reporting import report

__all__ = ["COLOURS", "explore", "figure", "live", "question", "report", "show"]
