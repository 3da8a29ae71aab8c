"""The feature explorer: an image on its way through networks, layer by layer."""

from forward_stability.book.live import Page, Widget
from forward_stability.book.live.noise_explorer import network_explorer
from forward_stability.experiments.runs import Run


def features_explorer(*runs: str | Run) -> Widget | Page:
    """An explorer of the features x^0, …, x^{3m+1} of trained networks, channel by channel.

    The networks are evaluated in the browser. Images, arguments and errors are those of
    :func:`~forward_stability.book.live.noise_explorer.noise_explorer`.

    Source: Figs. 5 and 6. Chapter 12.
    """
    return network_explorer("features_explorer", "feature explorer", runs)
