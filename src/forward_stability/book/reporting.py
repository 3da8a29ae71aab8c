"""Numbers in a notebook, asserted before they are printed.

A floating-point number differs in its last digits between processors, so a notebook that prints it
raw cannot be compared with its stored output. :func:`report` asserts that the number computed now
is within a tolerance of the one the text quotes, and prints the quoted one, with the digits that
the tolerance leaves.
"""

import math

MOST = 6
"""The most decimals that are written out; a tolerance below them is written beside the number."""


def report(name: str, value: float, expected: float, tol: float, unit: str = "") -> None:
    """Assert abs(value − expected) ≤ tol, then print the expected value with its digits.

    Args:
        name: what the number is.
        value: the number just computed (a float, a 0-d tensor or array).
        expected: the number that the text of the book quotes.
        tol: the largest difference allowed, in the unit of the value.
        unit: printed behind the number.

    Raises:
        AssertionError: if the two differ by more than ``tol``, or the value is not a number.
    """
    value = float(value)
    unit = f" {unit}" if unit else ""
    if not abs(value - expected) <= tol:
        raise AssertionError(f"{name}: computed {value!r}, expected {expected} ± {tol}{unit}")
    print(f"{name}: {digits(expected, tol)}{unit}")


def digits(number: float, tol: float) -> str:
    """The number with the decimals of which the last is known to about two units.

    With more than :data:`MOST` of them it is written as 1 ± 1e-12; without a tolerance as it is.
    """
    if tol == 0:
        return str(number)
    decimals = max(0, math.ceil(-math.log10(2.04 * tol)))
    return f"{number:.{decimals}f}" if decimals <= MOST else f"{number:g} ± {tol:g}"
