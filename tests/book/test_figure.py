"""The JavaScript engine of Python's that draws the still pictures."""

import asyncio

from forward_stability.book.live.compose import compose
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


def test_the_bad_pairs_of_chapter_0_are_the_worst_of_its_inputs():
    """Found anew for each network and each power of two."""
    text = compose("figure_strip").partition("export default")[0]
    found = """Object.fromEntries(VARIANTS.map(([look, , W2]) => [look, WORST[look].map((_, k) => {
        const A = weights(2 ** (k - 1), W2);
        const factors = INPUTS.slice(0, STARTS).map((x) => steepest(x, A).factor);
        return factors.indexOf(Math.max(...factors));
    })]))"""
    module = f"{text}\nexport default {{ known: WORST, found: {found} }};"
    assert evaluate(module, "exported.known") == evaluate(module, "exported.found")
