"""The deblurring explorer: what it computes, proves and shows is what Python has."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from browser import find_barriers, set_colours
from engine_page import decode, encode, numbers, start_engine
from explorer_page import explorer_page
from playwright.sync_api import Browser, Page, expect

from forward_stability.averaged import residual_bound
from forward_stability.book.live.deblurring_explorer import deblurring_explorer, export_denoiser
from forward_stability.book.photographs import blur_filter, blurred
from forward_stability.denoiser import Denoiser, plug_and_play, plug_and_play_constant
from forward_stability.experiments.noise import seeded_normal
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.storage import load_tensors
from forward_stability.folding import forward
from forward_stability.operators import conv

PATIENCE = 60_000  # milliseconds, on a busy machine
GREYS = """(canvas) => {
    const copy = new OffscreenCanvas(64, 64).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    return [...copy.getImageData(0, 0, 64, 64).data].filter((_, i) => i % 4 === 0);
}"""
STRENGTHS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1]


def trained(kind: str) -> Denoiser:
    weights, _ = load_tensors(results_root() / f"denoiser-{kind}-seed0.safetensors", "")
    denoiser = Denoiser()
    denoiser.load_state_dict(weights)
    return denoiser.double().requires_grad_(False)


@pytest.fixture(scope="module")
def denoisers() -> dict[str, Denoiser]:
    return {"averaged": trained("constrained"), "twin": trained("twin")}


def rounded(denoiser: Denoiser) -> Denoiser:
    """The denoiser whose weights are those of its file."""
    stored = Denoiser().double().requires_grad_(False)
    for layer, folded in zip(stored.layers, export_denoiser(denoiser, "").layers, strict=True):
        assert bool((folded.d1 == 1).all())
        assert bool((folded.d2 == 1).all())
        layer.conv.weight.copy_(folded.K)
        layer.bn1.bias.copy_(folded.b1)
        layer.bn2.bias.copy_(-folded.b2)
    return stored


@pytest.fixture(scope="module")
def engine(browser: Browser) -> Iterator[Page]:
    page = start_engine(browser)
    yield page
    page.close()


def test_the_blur_is_that_of_python(engine: Page):
    """On an image of any proportions."""
    x = torch.rand(1, 1, 12, 20, dtype=torch.float64)
    wave = blur_filter()[0, 0].sum(dim=0).tolist()
    script = "([x, wave]) => text(blurred(new Float64Array(bytes(x)), wave, 12, 20))"
    found = decode(engine.evaluate(script, [numbers(x), wave]))
    torch.testing.assert_close(found, conv(x, blur_filter()).flatten(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ["averaged", "twin"])
@pytest.mark.parametrize("beta", [0.1, 1])
def test_a_step_is_that_of_python(engine: Page, denoisers, name, beta):
    y = blurred("test")[1][:1]
    run = plug_and_play(rounded(denoisers[name]), blur_filter(), y, 3, beta)
    script = """([file, x, y, strength]) => {
        const at = { y: new Float64Array(bytes(y)), x: new Float64Array(bytes(x)), strength };
        const network = new Network(bytes(file));
        for (let k = 0; k < 3; k++) at.x = deblur(network, at);
        return text(at.x);
    }"""
    file = encode(export_denoiser(denoisers[name], name).to_bytes())
    found = decode(engine.evaluate(script, [file, numbers(run.x[0]), numbers(y), beta]))
    assert float(run.residuals[2]) > 1e-3
    torch.testing.assert_close(found, run.x[3].flatten(), rtol=0, atol=1e-13)


def test_the_constant_is_that_of_the_weights_in_the_file(engine: Page, denoisers):
    D, twin = (export_denoiser(d, "").header for d in denoisers.values())
    assert (D["variant"], twin["variant"]) == ("S", "original")
    assert twin["deblurring"]["kappa"] is None
    assert engine.evaluate("of => constant(of, 1)", twin["deblurring"]) is None
    for beta in STRENGTHS:
        found = engine.evaluate("([of, b]) => constant(of, b)", [D["deblurring"], beta])
        proven = plug_and_play_constant(
            rounded(denoisers["averaged"]), blur_filter(), (64, 64), beta
        )
        assert found == pytest.approx(proven, rel=1e-13)


@pytest.fixture(scope="module")
def page(browser: Browser, denoisers, tmp_path_factory) -> Iterator[Page]:
    """A page opened from a file, without a kernel."""
    folder = tmp_path_factory.mktemp("page")
    with explorer_page(browser, folder, lambda: deblurring_explorer(denoisers)) as page:
        page.locator("[data-step='20']").nth(1).wait_for(timeout=PATIENCE)
        yield page


def slide(page: Page, name: str, position: int) -> None:
    slider = page.get_by_role("slider", name=name)
    slider.fill(str(position))


@pytest.mark.parametrize(
    ("image", "start", "strength", "steps"),
    [(0, 0, 1, 20), (1, 1, 6, 7), (2, 2, 3, 1), (0, 3, 1, 60)],
)
def test_what_is_shown_is_what_python_has(page: Page, denoisers, image, start, strength, steps):
    slide(page, "Steps", steps)
    slide(page, "strength", strength)
    page.get_by_label("Photograph", exact=True).select_option(index=image)
    page.get_by_label("Start from").select_option(index=start)
    figures = page.locator("figure[data-variant]")
    expect(page.locator(f"figure[data-step='{steps}']")).to_have_count(2, timeout=PATIENCE)

    clean, y = ((255 * x.clamp(0, 1)).round() / 255 for x in blurred("test"))
    x0 = [
        y[image],
        clean[(image + 1) % 3],
        (0.5 + 0.3 * seeded_normal(y[0].shape, 0)).clamp(0, 1),
        torch.zeros_like(y[0]),
    ][start][None]
    for i, denoiser in enumerate(map(rounded, denoisers.values())):
        beta, given = STRENGTHS[strength], y[image][None]
        run = plug_and_play(denoiser, blur_filter(), given, steps, beta, x0=x0)
        x = run.x[-1]
        said = figures.nth(i).locator(".fs-length").text_content() or ""
        match = re.match(r"(.+) dB. Step \d+ was (.+) long.", said)
        decibels, length = match.groups() if match else ("", "")
        error = (x - clean[image][None]).square().mean()
        assert float(decibels) == pytest.approx(float(-10 * error.log10()), abs=0.051)
        assert float(length) == pytest.approx(float(run.residuals[-1]), rel=5e-3)
        if i == 0:
            kappa = plug_and_play_constant(denoiser, blur_filter(), (64, 64), beta)
            most = residual_bound(kappa, float(torch.maximum(x0, 1 - x0).norm()), steps - 1)
            found = re.search(r"At most (.+) is proven", said)
            proven = float(found[1]) if found else 0.0
            assert proven == pytest.approx(most, rel=5e-3)
        else:
            assert said.endswith("Nothing is proven.")
        drawn = figures.nth(i).locator("canvas").evaluate(GREYS)
        assert np.abs(np.array(drawn) - 255 * x.flatten().numpy()).max() <= 0.501


def test_folding_of_a_layer_is_what_the_denoiser_does(denoisers):
    """The layers that are exported, between padding and clamping."""
    x = torch.rand(1, 8, 64, 64, dtype=torch.float64)
    for denoiser in denoisers.values():
        made, expected = export_denoiser(denoiser, "").layers, x
        for layer in rounded(denoiser).layers:
            expected = layer(expected)
        torch.testing.assert_close(forward(made, x), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("width", [1000, 360])
@pytest.mark.parametrize("dark", [False, True])
def test_no_barrier(page: Page, width: int, dark: bool):
    page.set_viewport_size({"width": width, "height": 900})
    set_colours(page, dark)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    wide = "all => all.filter((e) => e.getBoundingClientRect().right > innerWidth).length"
    assert page.eval_on_selector_all(".fs-deblurring text", wide) == 0
    assert find_barriers(page, within=".fs-live", without=["region"]) == []


def test_another_choice_begins_anew(page: Page):
    """While steps are on their way, the old ones are not mixed with the new."""
    slide(page, "Steps", 100)
    for start in (1, 2, 3, 0):
        page.get_by_label("Start from").select_option(index=start)
    slide(page, "Steps", 0)
    said = page.locator(".fs-length").all_text_contents()
    assert all(re.fullmatch(r"[\d.]+ dB\.", text) for text in said)
    slide(page, "Steps", 100)
    expect(page.locator("figure[data-step='100']")).to_have_count(2, timeout=PATIENCE)


def test_in_a_kernel_it_is_a_widget_with_its_text(denoisers):
    bundle = deblurring_explorer(denoisers)._repr_mimebundle_()[0]
    assert bundle["text/plain"] == "<deblurring explorer: averaged, twin>"
