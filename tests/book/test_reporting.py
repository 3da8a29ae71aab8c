"""A number is printed only if it is the one that the text quotes."""

import pytest
import torch

from forward_stability.book.reporting import report


def test_the_quoted_number_is_printed_and_not_the_computed_one(capsys):
    report("ratio", torch.tensor(0.51234, dtype=torch.float64), 0.5123, tol=1e-4, unit="m")
    assert capsys.readouterr().out == "ratio: 0.5123 m (recomputed, within ± 0.0001)\n"
    report("count", 3, 3, tol=0)
    assert capsys.readouterr().out == "count: 3 (recomputed, exactly)\n"


@pytest.mark.parametrize("value", [0.6, float("nan"), float("inf"), torch.tensor(0.51)])
def test_another_number_is_an_error(value):
    with pytest.raises(AssertionError, match=r"ratio: computed .*, expected 0\.5 ± 0\.005"):
        report("ratio", value, 0.5, tol=0.005)
