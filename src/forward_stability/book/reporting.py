"""Numbers in a notebook, asserted before they are printed.

A floating-point number differs in its last digits between processors, so a notebook that prints it
raw cannot be compared with its stored output. :func:`report` asserts that the number computed now
is within a tolerance of the one the text quotes, and prints the quoted one.
"""


def report(name: str, value: float, expected: float, tol: float, unit: str = "") -> None:
    """Assert abs(value − expected) ≤ tol, then print the expected value and the tolerance.

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
    agreement = "exactly" if tol == 0 else f"within ± {tol:g}"
    print(f"{name}: {expected}{unit} (recomputed, {agreement})")
