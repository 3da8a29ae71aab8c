"""What readers type, and what they are told, in Python and in the browser."""

import random

import pytest
from playwright.sync_api import Browser, Page

from forward_stability.book.answer import NOT_A_NUMBER, readings, right, verdict
from forward_stability.book.live.compose import compose

SCRIPT = """\
import { readings, verdict } from "./answer.js";
globalThis.read = (text) => Object.fromEntries(readings(text));
"""
NUMBERS = {
    "-1": -1, "−1": -1, "–1": -1, "+ 1": 1, " 0.25 ": 0.25, ".5": 0.5, "5.": 5, "2e3": 2000,
    "1E-2": 0.01, "0,784": 0.784, "20,0855": 20.0855, ",5": 0.5, "1,234.5": 1234.5,
    "1.234,5": 1234.5, "12,345,678": 12345678, "1.234.567": 1234567, "73 856": 73856,
    "73\u202f856": 73856, "73 856,5": 73856.5, "2/25": 0.08, "2 / 25": 0.08, "2÷25": 0.08,
    "3·7": 21, "3 × 7": 21, "sqrt(65)": 65**0.5, "√65": 65**0.5, "2*√(65)": 2 * 65**0.5,
    "e^3": 2.718281828459045**3, "exp(0)": 1, "ln(e)": 1, "pi/2": 1.5707963267948966,
    "π/2": 1.5707963267948966, "-2^2": -4, "2^-1": 0.5, "2**3**2": 512, "79 %": 0.79,
    "1.5^2*1.1^7": 1.5**2 * 1.1**7, "2-3-4": -5, "8/4/2": 1, "(1+2)*3": 9, "--1": 1,
}  # fmt: skip
NO_NUMBERS = [
    "", " ", "about one", "nan", "inf", "Infinity", "1/0", "0^-1", "1/(1/0)", "1/exp(1000)",
    "9^9^9^9", "(-8)^(1/3)", "sqrt(-1)", "ln(0)", "1e999", "1 2", "1,2,3", "1,23,456", "12 34",
    "()", "(1", "1)", "sqrt 65", "2e", "0x10", "1_000", "__import__('os')", "constructor",
    ",", "-", "1" + "+1" * 60,
]  # fmt: skip
HINT = "Think."
VERDICTS = [
    ("73,856", 73856.0, 0.0, "Right: 73,856. (The comma separates thousands here.)"),
    ("73,856", 73.856, 0.001, "Right: 73.856. (The comma is a decimal point here.)"),
    ("73856", 73856.0, 0.0, "Right: 73,856."),
    (
        "7,385",
        73856.0,
        10.0,
        "Not yet: ten times too small. (The comma separates thousands here.) Think.",
    ),
    ("12000", 12458.1, 500.0, "Right: 12,458."),
    ("239", 239.13, 0.6, "Right: 239."),
    ("20,0855", 20.0855, 0.005, "Right: 20.0855."),
    ("2/25", 0.08, 0.005, "Right: 0.08."),
    ("-0.784", 0.784, 0.005, "Not yet: the sign is the other one. Think."),
    ("7.84", 0.784, 0.005, "Not yet: ten times too large. Think."),
    ("78.4", 0.784, 0.005, "Not yet: a hundred times too large. Think."),
    ("784", 0.784, 0.005, "Not yet: a thousand times too large. Think."),
    ("0.00784", 0.784, 0.005, "Not yet: a hundred times too small. Think."),
    ("0.79", 0.784, 0.005, "Not yet: too large. Think."),
    ("0.7", 0.784, 0.005, "Not yet: too small. Think."),
    ("-3", -2.0, 0.1, "Not yet: too small. Think."),
    ("1", 0.0, 0.1, "Not yet: too large. Think."),
    ("many", 1.0, 0.1, NOT_A_NUMBER),
]


@pytest.fixture(scope="module")
def script(browser: Browser):
    page = browser.new_page()
    page.add_script_tag(content=compose("form", {"form": SCRIPT}))
    yield page
    page.close()


@pytest.mark.parametrize(("text", "value"), NUMBERS.items())
def test_numbers_as_readers_type_them(script: Page, text, value):
    for found in (readings(text), script.evaluate("text => read(text)", text)):
        assert list(found.values()) == [pytest.approx(value, rel=1e-14)]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number(script: Page, text):
    assert readings(text) == script.evaluate("text => read(text)", text) == {}


@pytest.mark.parametrize(("text", "answer", "tol", "said"), VERDICTS)
def test_verdicts(script: Page, text, answer, tol, said):
    assert verdict(text, answer, tol, HINT) == said
    values = [text, answer, tol, right(answer, tol), HINT]
    assert script.evaluate("values => verdict(...values)", values) == said


def test_python_and_javascript_read_the_same_in_whatever_is_typed(script: Page):
    parts = random.Random(0)
    pieces = [
        *"0123456789",
        *"..,,+-*/^()% eπ√",
        "sqrt(",
        "ln(",
        "**",
        "1,234",
        "12 345",
        "e^",
        "²",
    ]
    texts = ["".join(parts.choices(pieces, k=parts.randint(1, 9))) for _ in range(3000)]
    found = script.evaluate("texts => texts.map(text => read(text))", texts)
    numbers = 0
    for text, other in zip(texts, found, strict=True):
        ours = readings(text)
        assert list(ours) == list(other), text
        assert list(ours.values()) == pytest.approx(list(other.values()), rel=1e-13), text
        numbers += len(ours)
    assert numbers > 300
