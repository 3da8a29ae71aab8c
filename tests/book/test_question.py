"""The same question in a kernel and on a page."""

import base64
import json
import re

import pytest

from forward_stability.book import figures
from forward_stability.book.question import NOT_A_NUMBER, Form, Question, question
from forward_stability.errors import InputError


def ask(answer=0.784, tol=0.005):
    return question("The ratio?", answer, tol=tol, hint="Compute σ(x) < 3 first.")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("0.78", "Right: 0.784."),
        ("0.7889", "Right: 0.784."),
        ("0.79", "Not yet. Compute σ(x) < 3 first."),
        ("-0.784", "Not yet. Compute σ(x) < 3 first."),
        ("about one", NOT_A_NUMBER),
    ],
)
def test_in_a_kernel_each_answer_gets_its_verdict(text, verdict):
    asked = ask()
    assert isinstance(asked, Question)
    asked.field.value = text
    assert asked.verdict.value == verdict


def test_the_button_judges_too():
    asked = ask()
    asked.button.click()
    assert asked.verdict.value == NOT_A_NUMBER


def test_what_a_notebook_stores_does_not_tell_the_answer():
    bundle = ask()._repr_mimebundle_()
    assert bundle["text/plain"] == "<question: The ratio?>"
    assert "0.784" not in json.dumps(bundle)


def test_a_page_carries_answer_tolerance_and_verdicts_encoded(monkeypatch):
    monkeypatch.setenv(figures.PAGE, "1")
    asked = ask()
    assert isinstance(asked, Form)
    html = asked._repr_mimebundle_()["text/html"]
    assert "0.784" not in html
    label = re.search(r'<label for="([^"]+)">The ratio\?</label>', html)
    assert label is not None
    assert f'<input id="{label[1]}"' in html
    content = re.search(r'data-content="([^"]+)"', html)
    assert content is not None
    assert json.loads(base64.b64decode(content[1])) == [
        0.784,
        0.005,
        "Right: 0.784.",
        "Not yet. Compute σ(x) < 3 first.",
        NOT_A_NUMBER,
    ]


@pytest.mark.parametrize(
    ("answer", "tol", "message"),
    [(float("nan"), 0.1, "answer must be a finite"), (1.0, -0.1, "tol must not be negative")],
)
def test_wrong_arguments_are_named(answer, tol, message):
    with pytest.raises(InputError, match=message):
        ask(answer, tol)
