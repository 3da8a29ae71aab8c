"""The numbers of the paper agree with one another."""

from forward_stability.book import paper
from forward_stability.models import Network


def test_the_numbers_of_the_paper_are_complete():
    """Table 3 has four depths a column; depths are those that its text gives, 6m and 3m + 2."""
    assert {len(column) for column in paper.ACCURACY.values()} == {4}
    for variant, depths in paper.DEPTHS.items():
        assert depths.keys() == paper.PARAMETERS[variant].keys()
        for m, depth in depths.items():
            assert depth == {"D": 6 * m, "S": 3 * m + 2, "original": 6 * m + 2}[variant]
            assert depth == Network(variant, m, width=1).depth
