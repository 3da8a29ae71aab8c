"""Gradients by the image and attacks in the browser, against PyTorch."""

from collections.abc import Iterator

import pytest
import torch
from engine_page import decode, encode, numbers, start_engine
from playwright.sync_api import Browser, Page
from test_engine import OPTIONS, option_size, settled

from forward_stability.book.export import export_network, export_run
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.runs import Run
from forward_stability.folding import forward

DEAD = ("D", {"batch_norm": False})  # with these weights all its features become 0
CASES = [(v, {}) for v in ("D", "S", "original")] + [case for case in OPTIONS if case != DEAD]
GRADIENT = """([file, image, t, j]) => {
    const { scores, gradient } = new Network(bytes(file))
        .gradient(new Float64Array(bytes(image)), t, j);
    return [text(scores), text(gradient)];
}"""


@pytest.fixture(scope="module")
def engine(browser: Browser) -> Iterator[Page]:
    page = start_engine(browser)
    yield page
    page.close()


@pytest.mark.parametrize(("variant", "options"), CASES, ids=str)
def test_the_gradient_is_that_of_pytorch(engine: Page, variant, options):
    size = option_size(options)
    network = settled(variant, 2, 4, 3, size, 3, **options)
    exported = export_network(network, size, list("abc"))
    images = (2 * torch.randn(40, 3, *size, dtype=torch.float64)).requires_grad_()
    y = forward(exported.layers, images - exported.tensors["mean"].double())
    (slopes,) = torch.autograd.grad((y[:, 2] - y[:, 0]).sum(), images)
    at = int(slopes.flatten(1).norm(dim=1).argmax())  # an image whose features are not all 0
    image, y, expected = images[at].detach(), y[at].detach(), slopes[at]
    arguments = [encode(exported.to_bytes()), numbers(image), 2, 0]
    scores, gradient = map(decode, engine.evaluate(GRADIENT, arguments))
    torch.testing.assert_close(scores, y, rtol=1e-11, atol=1e-11)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(gradient, expected.flatten(), rtol=1e-10, atol=1e-11)


def test_the_gradient_is_that_of_differences(engine: Page):
    """A trained network: the image moves along random directions and back."""
    exported = export_run(Run("digits-S-m2-theorem-seed0"))
    image = scale(load_dataset("digits").test_images[0]).double()
    directions = torch.randn(5, *image.shape, generator=torch.Generator().manual_seed(0)).double()
    arguments = [encode(exported.to_bytes()), numbers(image), 3, 7]
    gradient = decode(engine.evaluate(GRADIENT, arguments)[1])
    mean, h = exported.tensors["mean"].double(), 1e-7
    there, back = (forward(exported.layers, image + d * directions - mean) for d in (h, -h))
    slopes = ((there - back)[:, 3] - (there - back)[:, 7]) / (2 * h)
    torch.testing.assert_close(directions.flatten(1) @ gradient, slopes, rtol=1e-4, atol=1e-6)


ATTACK = """([file, image, r, seeds, steps]) => {
    const network = new Network(bytes(file)), x = new Float64Array(bytes(image));
    return Array.from({length: seeds}, (_, seed) => {
        const { image, scores, found, tries, distance } = attack(network, x, r, { seed, steps });
        return [text(image), text(scores), found, tries, distance];
    });
}"""


@pytest.mark.parametrize(("r", "falls"), [(0.01, False), (1.5, True)])
def test_an_attack_stays_in_its_ball_and_says_what_it_found(engine: Page, r, falls):
    exported = export_run(Run("digits-S-m3-seed0"))
    mean = exported.tensors["mean"].double()
    image = scale(load_dataset("digits").test_images[1]).double()
    clean = forward(exported.layers, (image - mean)[None]).argmax()
    arguments = [encode(exported.to_bytes()), numbers(image), r, 4, 12]
    rows = engine.evaluate(ATTACK, arguments)
    assert rows == engine.evaluate(ATTACK, arguments)
    assert len({row[0] for row in rows}) == 4
    for moved, scores, found, tries, distance in rows:
        y = decode(moved).view_as(image)
        assert y.min() >= 0
        assert y.max() <= 1
        assert distance == pytest.approx(float((y - image).norm()), rel=1e-12)
        assert 0.2 * r < distance <= r
        expected = forward(exported.layers, (y - mean)[None])[0]
        torch.testing.assert_close(decode(scores), expected, rtol=1e-9, atol=1e-9)
        assert found == (expected.argmax() != clean) == falls
        assert tries <= 12 if falls else tries == 12


def test_an_attack_aims_at_one_class_after_another(engine: Page):
    """First at that with the second largest score; a network that only notes what it is asked."""
    asked = engine.evaluate("""() => {
        const scores = new Float64Array([0, 3, 1, 2]), asked = [];
        const network = {
            scores: () => scores,
            gradient: (x, t, j) => (asked.push([t, j]), {scores, gradient: x.map(() => 1)}),
        };
        const x = new Float64Array(4);
        for (let seed = 0; seed < 4; seed++) attack(network, x, 1, {seed, steps: 1});
        return asked;
    }""")
    assert asked == [[1, j] for j in (3, 3, 2, 2, 0, 0, 3, 3)]
