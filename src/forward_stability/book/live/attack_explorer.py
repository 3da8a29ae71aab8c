"""The attack explorer: an image with its certified radius, and the reader who tries to break it."""

from forward_stability.book.export import export_run
from forward_stability.book.live import Page, Widget
from forward_stability.book.live.noise_explorer import network_explorer
from forward_stability.book.page_certificate import certified_export
from forward_stability.experiments.runs import Run


def attack_explorer(certified: str | Run, *others: str | Run) -> Widget | Page:
    """An explorer in which the reader attacks the answers of networks, by hand or by gradients.

    The first network carries a certificate, whose radii are those of
    :mod:`~forward_stability.book.page_certificate`, for the arithmetic and the weights of the page;
    the slider ends at three of them. The reader can draw a digit.

    Args:
        certified: a run folder, or the name of a run that comes with the book; on the digits.
        others: more of them, which stand beside it without a certificate.

    Raises:
        InputError: if a run is not done, or the runs are of different data sets.

    Source: our own. Chapter 15.
    """
    first, *rest = (run if isinstance(run, Run) else Run(run) for run in (certified, *others))
    return network_explorer(
        "attack_explorer",
        "attack explorer",
        [first, *rest],
        lambda run: certified_export(run) if run is first else export_run(run),
    )
