"""The engine in the browser against PyTorch: every layer, the scores, and the noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from engine_page import decode, encode, start_engine
from playwright.sync_api import Browser, Page

from forward_stability.book.export import Export, export_network, export_run
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.noise import seeded_normal
from forward_stability.experiments.provenance import results_root
from forward_stability.experiments.runs import Run
from forward_stability.folding import FoldedHalving, features
from forward_stability.layer import Size
from forward_stability.layers import Bias
from forward_stability.models import Network

SHAPES = [  # variant, m, width, channels, height, width of an image, classes
    ("D", 3, 16, 3, 32, 32, 10),
    ("S", 3, 16, 3, 32, 32, 10),
    ("original", 3, 16, 3, 32, 32, 10),
    ("D", 1, 3, 1, 5, 8, 3),
    ("S", 2, 5, 2, 7, 9, 4),
    ("original", 2, 3, 3, 9, 6, 2),
    ("D", 1, 2, 1, 1, 3, 2),
]
OPTIONS = [  # variant, options of the network
    ("S", {"outer_relu": False}),
    ("S", {"batch_norm": False}),
    ("D", {"batch_norm": False}),
    ("D", {"halve": True}),
    ("original", {"flatten": (9, 6)}),
    ("S", {"batch_norm": False, "outer_relu": False, "halve": True, "flatten": (9, 6)}),
    ("S", {"batch_norm": False, "maxmin": True}),
    ("D", {"unshuffle": True, "pooling": "unshuffling"}),
]


def option_size(options) -> Size:
    """Of images for a network with such options; unshuffling takes even sizes only."""
    return (16, 8) if "pooling" in options else (9, 6)


RUNS = sorted(
    path.parent.relative_to(results_root()).as_posix()
    for path in results_root().rglob("weights.safetensors")
)


@pytest.fixture(scope="module")
def engine(browser: Browser) -> Iterator[Page]:
    page = start_engine(browser)
    yield page
    page.close()


def scores_in_browser(page: Page, content: bytes, images: torch.Tensor) -> torch.Tensor:
    """The scores of images (n, channels, height, width), float64."""
    found = page.evaluate(
        """([file, images, count]) => {
            const network = new Network(bytes(file));
            const all = new Float64Array(bytes(images));
            const size = all.length / count;
            return Array.from({length: count}, (_, i) =>
                text(network.features(all.subarray(i * size, (i + 1) * size)).at(-1).data));
        }""",
        [encode(content), encode(images.double().numpy().tobytes()), len(images)],
    )
    return torch.stack([decode(scores) for scores in found])


def settled(variant: str, m: int, width: int, channels: int, size: Size, classes: int, **options):
    """An untrained network whose normalisations have statistics, and γ, β of both signs."""
    torch.manual_seed(0)
    network = Network(variant, m, width, channels, classes, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
            if module.affine:
                torch.nn.init.normal_(module.weight, std=1.0)
                torch.nn.init.normal_(module.bias, std=0.3)
        elif isinstance(module, Bias):
            torch.nn.init.normal_(module.bias, std=0.3)
    torch.nn.init.normal_(network.layers[-1].weight)
    torch.nn.init.normal_(network.get_buffer("mean"), mean=0.5, std=0.1)
    with torch.no_grad():
        network.train()(torch.rand(16, channels, *size))
    return network.eval()


def check(engine: Page, network: Network, exported: Export) -> torch.Tensor:
    """Every layer is that of PyTorch, and the scores are those of the network; they are returned.

    For one random image.
    """
    image = torch.rand(1, *exported.header["shape"]).double()
    found = engine.evaluate(
        """([file, image]) => new Network(bytes(file)).features(new Float64Array(bytes(image)))
            .map((x) => [[x.channels, x.height, x.width], text(x.data)])""",
        [encode(exported.to_bytes()), encode(image.numpy().tobytes())],
    )
    expected = features(exported.layers, image - exported.tensors["mean"].double())
    assert len(found) == len(expected) == len(network.layers) + 1
    for (size, data), x in zip(found, expected, strict=True):
        assert size == [*x.shape[1:], 1, 1][:3]
        torch.testing.assert_close(decode(data), x.flatten(), rtol=1e-11, atol=1e-11)
    with torch.no_grad():
        scores = network(image.float())[0].double()
    torch.testing.assert_close(decode(found[-1][1]), scores, rtol=1e-3, atol=0.01)
    return scores


PRODUCTS = """(into) => {
    const [M, U, V] = room(128, 64 * into, 32 * into);
    const wide = () => (Math.random() - 0.5) * 2 ** (600 * (Math.random() - 0.5));
    for (const array of [U, V]) for (let i = 0; i < array.length; i++) array[i] = wide();
    const [found, one] = [multiply, oneByOne].map((f) => (f(M, U, 0, V, 0, into), M.slice()));
    const dense = [0, 63, 127].map((i) => {
        const [t, square, o] = [i >> 3, (i >> 2) & 1, i & 3];
        let sum = 0;
        for (let c = 0; c < into; c++)
            sum += U[4 * (t * into + c) + o] * V[2 * (t * into + c) + square];
        return Object.is(sum, found[i]);
    });
    return [found.every((z, i) => Object.is(z, one[i])), dense, M.buffer.byteLength];
}"""


def test_products_in_pairs_are_those_one_by_one_bit_by_bit(engine: Page):
    """Numbers of all magnitudes, whose sums overflow, cancel and become subnormal."""
    for into in (1, 2, 3, 16, 65, 64):
        same, dense, size = engine.evaluate(PRODUCTS, into)
        assert same
        assert dense == [True] * 3
        assert size % 65536 == 0  # WebAssembly's memory: it is what computes here


def test_a_page_that_forbids_webassembly_has_the_same_scores(engine: Page, browser: Browser):
    network = settled("S", 2, 5, 2, (7, 9), 4)
    content = export_network(network, (7, 9), list("abcd")).to_bytes()
    images = torch.rand(3, 2, 7, 9)
    strict = start_engine(browser, "script-src 'unsafe-inline'")
    assert strict.evaluate("room(8)[0].buffer.byteLength") == 64
    found = scores_in_browser(strict, content, images)
    strict.close()
    assert torch.equal(found, scores_in_browser(engine, content, images))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_layer_is_that_of_pytorch(engine: Page, shape):
    variant, m, width, channels, h, w, classes = shape
    network = settled(variant, m, width, channels, (h, w), classes)
    exported = export_network(network, (h, w), [str(c) for c in range(classes)])
    assert check(engine, network, exported).abs().max() > 0.05


@pytest.mark.parametrize(("variant", "options"), OPTIONS, ids=str)
def test_every_option_of_a_network(engine: Page, variant, options):
    size = option_size(options)
    network = settled(variant, 2, 4, 3, size, 3, **options)
    exported = export_network(network, size, list("abc"))
    assert check(engine, network, exported).abs().max() > 0.05


@pytest.mark.parametrize("bits", [8, 16])
def test_weights_of_either_length(engine: Page, bits):
    exported = export_network(settled("D", 2, 4, 3, (9, 6), 3), (9, 6), list("abc"), bits)
    images = torch.rand(3, 3, 9, 6)
    found = scores_in_browser(engine, exported.to_bytes(), images)
    expected = features(exported.layers, images.double() - exported.tensors["mean"].double())[-1]
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", RUNS)
def test_every_run_of_the_book(engine: Page, name):
    torch.manual_seed(0)
    run = Run(name)
    check(engine, run.network(), export_run(run))


@pytest.mark.parametrize("name", ["digits-D-m3-seed0", "digits-S-m3-seed0"])
def test_scores_of_trained_networks(engine: Page, name):
    """240 images, a third of them clean, the others with noise of two levels."""
    run = Run(name)
    images = scale(load_dataset("digits").test_images[:240])
    sigma = torch.tensor([0.0, 0.05, 0.2]).repeat(80)[:, None, None, None]
    images = images + sigma * seeded_normal(images.shape, 1).float()
    with torch.no_grad():
        expected = run.network()(images).double()
    found = scores_in_browser(engine, export_run(run).to_bytes(), images)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1])
def test_the_noise_is_that_of_numpy(engine: Page, seed):
    found = engine.evaluate("seed => text(standardNormal(seed, 3073))", seed)
    expected = seeded_normal((3073,), seed)
    torch.testing.assert_close(decode(found), expected, rtol=1e-14, atol=0)
    assert abs(float(expected.std()) - 1) < 0.05


def test_an_image_of_another_size_is_refused(engine: Page):
    content = export_network(Network("D", 1, 2), (4, 4), list("abcdefghij")).to_bytes()
    said = engine.evaluate(
        """file => { try { new Network(bytes(file)).features(new Float64Array(47)); }
                     catch (error) { return error.message; } }""",
        encode(content),
    )
    assert said == "an image has 48 numbers, not 47"


def test_a_layer_that_the_engine_does_not_know_is_refused(engine: Page, monkeypatch):
    @dataclass(frozen=True)
    class Unknown(FoldedHalving):
        kind: ClassVar[str] = "xyz"

    network = Network("D", 1, 2, halve=True)
    monkeypatch.setattr(network.layers[0], "fold", Unknown)
    content = export_network(network, (4, 4), list("abcdefghij")).to_bytes()
    said = engine.evaluate(
        """file => { try { new Network(bytes(file)); } catch (error) { return error.message; } }""",
        encode(content),
    )
    assert said == "the engine has no layer of kind 'xyz'"
