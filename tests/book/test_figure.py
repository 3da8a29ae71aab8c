"""The JavaScript engine of Python's that draws the still pictures."""

import asyncio

from forward_stability.book.live.figure import evaluate


def test_engines_outlive_the_event_loop_in_which_they_were_made():
    """As that of a browser, which a test closes, or of a kernel; two figures have two engines."""
    double = "export default { of: (z) => 2 * z };"
    square = "export default { of: (z) => z * z };"

    async def ask() -> tuple[int, int]:
        return evaluate(double, "exported.of(21)"), evaluate(square, "exported.of(5)")

    assert asyncio.run(ask()) == (42, 25)
    assert evaluate(double, "exported.of(4)") == 8
    assert evaluate(square, "exported.of(4)") == 16
