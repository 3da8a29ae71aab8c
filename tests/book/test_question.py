"""The same question in a kernel and on a page."""

import base64
import json
import re

import pytest

from forward_stability.book import figures
from forward_stability.book.answer import NOT_A_NUMBER
from forward_stability.book.question import Form, Question, question
from forward_stability.errors import InputError


def ask(answer=0.784, tol=0.005):
    return question("The ratio?", answer, tol=tol, hint="Compute σ(x) < 3 first.")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("0.78", "Right: 0.784."),
        ("0.7889", "Right: 0.784."),
        ("0.79", "Not yet: too large. Compute σ(x) < 3 first."),
        ("−0.784", "Not yet: the sign is the other one. Compute σ(x) < 3 first."),
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
        "Compute σ(x) < 3 first.",
    ]


def test_a_form_takes_what_readers_type_and_shows_a_full_keyboard(monkeypatch, browser):
    monkeypatch.setenv(figures.PAGE, "1")
    page = browser.new_page()
    page.set_content(ask(answer=20.0855)._repr_mimebundle_()["text/html"])
    assert page.get_attribute("input", "inputmode") == "text"  # others lack a minus on iPhones
    for text, verdict in [
        ("e^3", "Right: 20.0855."),
        ("20,0855", "Right: 20.0855."),
        ("−20.0855", "Not yet: the sign is the other one. Compute σ(x) < 3 first."),
        ("about twenty", NOT_A_NUMBER),
    ]:
        page.fill("input", text)
        page.click("button")
        assert page.inner_text("output") == verdict
    page.close()


def test_a_form_without_scripts_says_so_and_has_no_dead_button(monkeypatch, browser):
    monkeypatch.setenv(figures.PAGE, "1")
    page = browser.new_page(java_script_enabled=False)
    page.set_content(ask()._repr_mimebundle_()["text/html"])
    assert page.inner_text("output") == "An answer can be checked only where scripts run."
    assert not page.is_visible("button")
    page.close()


@pytest.mark.parametrize(
    ("answer", "tol", "message"),
    [(float("nan"), 0.1, "answer must be a finite"), (1.0, -0.1, "tol must not be negative")],
)
def test_wrong_arguments_are_named(answer, tol, message):
    with pytest.raises(InputError, match=message):
        ask(answer, tol)
