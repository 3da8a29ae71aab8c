"""A number is printed only if it is the one that the text quotes."""

import pytest
import torch

from forward_stability.book.reporting import digits, report


def test_the_quoted_number_is_printed_and_not_the_computed_one(capsys):
    report("ratio", torch.tensor(0.51234, dtype=torch.float64), 0.5123, tol=1e-4, unit="m")
    assert capsys.readouterr().out == "ratio: 0.5123 m\n"
    report("count", 3, 3, tol=0)
    assert capsys.readouterr().out == "count: 3\n"


@pytest.mark.parametrize(
    ("number", "tol", "text"),
    [
        (0.0, 0.05, "0.0"),
        (270.364, 0.005, "270.36"),
        (0.9997, 0.002, "1.000"),
        (51.2, 1, "51"),
        (2.0, 1e-6, "2.000000"),
        (1.0, 1e-12, "1 ± 1e-12"),
        (1.6e-8, 1e-8, "1.6e-08 ± 1e-08"),
    ],
)
def test_a_number_has_the_digits_that_its_tolerance_leaves(number, tol, text):
    assert digits(number, tol) == text


@pytest.mark.parametrize("value", [0.6, float("nan"), float("inf"), torch.tensor(0.51)])
def test_another_number_is_an_error(value):
    with pytest.raises(AssertionError, match=r"ratio: computed .*, expected 0\.5 ± 0\.005"):
        report("ratio", value, 0.5, tol=0.005)
