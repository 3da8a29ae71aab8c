"""Firefox beside Chromium: sliders, live figures, explorers and questions of the book answer.

Without a Firefox the tests are skipped, or fail if REQUIRE_FIREFOX=1.
"""

import pytest
from firefox import Firefox

HOME, LEFT, RIGHT = "\ue011", "\ue012", "\ue014"
UNTIL = """new Promise((resolve) => {{
    const look = () => ({}) ? resolve(true) : setTimeout(look, 50);
    look();
}})"""
EXPLORERS = {"book/14_corrupted_images": "data-level", "book/12_looking_inside": "data-shown"}


@pytest.fixture
def page(firefox: Firefox, site: str):
    """Opens a page of the book; nothing may go wrong there."""
    firefox.complaints.clear()

    def visit(name: str) -> Firefox:
        firefox.open(f"{site}/{name}.html")
        return firefox

    yield visit
    assert firefox.complaints == []


def test_a_slider_changes_its_picture_by_keys_and_by_the_mouse(page):
    firefox = page("book/04_growth")
    firefox.evaluate("""(() => {
        globalThis.figure = document.querySelector("figure.explore:has(input)");
        globalThis.slider = figure.querySelector("input");
        figure.scrollIntoView({block: "center", behavior: "instant"});
        slider.focus();
    })()""")
    state = "[Number(slider.value), figure.querySelector('.picture').innerHTML.length," + (
        " figure.querySelector('output').textContent, figure.querySelector('.picture').innerHTML]"
    )
    firefox.press(HOME)
    first = firefox.evaluate(state)
    firefox.press(RIGHT, RIGHT)
    second = firefox.evaluate(state)
    assert (first[0], second[0]) == (0, 2)
    assert all(a != b for a, b in zip(first[2:], second[2:], strict=True))
    x, y, width, height = firefox.evaluate(
        "(r => [r.x, r.y, r.width, r.height])(slider.getBoundingClientRect())"
    )
    firefox.press(HOME)
    firefox.drag(x + 11, y + height / 2, x + width - 1)
    assert firefox.evaluate("slider.value === slider.max && slider.value > 2")


def test_a_handle_follows_the_mouse_and_the_keys(page):
    firefox = page("book/01_relu_is_a_proximal_step")
    firefox.evaluate(UNTIL.format("document.querySelector('#corner .fs-words')"))
    firefox.evaluate("""(() => {
        globalThis.handle = document.querySelector("#corner [data-handle]");
        handle.scrollIntoView({block: "center", behavior: "instant"});
    })()""")
    place = "(r => [r.x + r.width / 2, r.y + r.height / 2])(handle.getBoundingClientRect())"
    words = "document.querySelector('#corner .fs-words').textContent"
    x, y = firefox.evaluate(place)
    before = firefox.evaluate(words)
    firefox.drag(x, y, x + 60)
    assert firefox.evaluate(UNTIL.format("location.hash.startsWith('#corner?x=')"))
    assert firefox.evaluate(UNTIL.format(f"Math.abs({place}[0] - {x + 60}) < 1.5"))
    assert firefox.evaluate(words) != before
    hash_ = firefox.evaluate("location.hash")
    firefox.press(RIGHT)
    assert firefox.evaluate(UNTIL.format(f"location.hash !== '{hash_}'"))


@pytest.mark.parametrize(("name", "marked"), EXPLORERS.items())
def test_an_explorer_computes(page, name, marked):
    """Its networks run in workers, and answer another position of the first slider otherwise."""
    firefox = page(name)
    firefox.evaluate("document.querySelector('.live:not(:has(> .fs-stage))').scrollIntoView()")
    firefox.evaluate(UNTIL.format(f"document.querySelector('.fs-live [{marked}]')"))
    firefox.evaluate("""(() => {
        globalThis.live = document.querySelector(".fs-live");
        globalThis.before = live.querySelector(".fs-panels").textContent;
        live.querySelector("input[type=range]").focus();
    })()""")
    firefox.press(*[RIGHT] * 3)
    changed = "live.querySelector('.fs-panels').textContent !== before"
    assert firefox.evaluate(UNTIL.format(changed))
    assert firefox.evaluate("live.querySelector('[role=alert]').textContent") == ""


def test_a_question_is_checked(page):
    firefox = page("book/04_growth")
    firefox.evaluate("document.querySelector('form.question input').focus()")
    firefox.press(*"e^3", "\ue007")
    said = firefox.evaluate("document.querySelector('form.question output').textContent")
    assert said.startswith(("Right", "Not yet"))
