"""The JavaScript engine of Python's that draws the still pictures."""

import asyncio

from forward_stability.book.live.figure import evaluate


def test_the_engine_outlives_the_event_loop_in_which_it_was_made():
    """As that of a browser, which a test closes, or of a kernel."""
    module = "export default { double: (z) => 2 * z };"

    async def ask() -> int:
        return evaluate(module, "exported.double(21)")

    assert asyncio.run(ask()) == 42
    assert evaluate(module, "exported.double(4)") == 8
