"""The noise explorer in the browser, from a file: its numbers are PyTorch's."""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from browser import find_barriers, open_page, serve, set_colours
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from forward_stability.book import figures
from forward_stability.book.export import export_network, export_run
from forward_stability.book.live import Page as LivePage
from forward_stability.book.live import for_host, modules
from forward_stability.book.live.noise_explorer import choose_samples, noise_explorer, photographs
from forward_stability.errors import InputError
from forward_stability.experiments.config import Config
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.noise import seeded_normal
from forward_stability.experiments.runs import Run
from forward_stability.experiments.training import train
from forward_stability.folding import features
from forward_stability.layer import Folded
from forward_stability.models import Network

RUNS = ["digits-D-m3-seed0", "digits-S-m3-seed0"]
CIFAR = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SLACK = 0.06  # per cent: half of the last digit shown, and rounding in float32
PATIENCE = 30_000  # milliseconds, on a busy machine


class Rounded:
    """A trained network with weights of 8 bits, as the page holds it, in float32."""

    def __init__(self, name: str) -> None:
        exported = export_run(Run(name), bits=8)
        self.mean = exported.tensors["mean"]
        self.layers = [self.single(layer) for layer in exported.layers]

    @staticmethod
    def single(layer: Folded) -> Folded:
        values = {field.name: getattr(layer, field.name) for field in fields(layer)}
        return replace(layer, **{k: v.float() for k, v in values.items() if torch.is_tensor(v)})

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        return features(self.layers, images - self.mean)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images)[-1]


def coloured_network() -> Network:
    """An untrained ResNet for colour images, whose normalisations have statistics."""
    torch.manual_seed(0)
    network = Network("original", 2, width=6)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    torch.nn.init.normal_(network.layers[-1].weight)
    with torch.no_grad():
        network.train()(torch.rand(16, 3, 32, 32))
    return network.eval()


def colour_explorer():
    samples = photographs(CIFAR, (3, 32, 32))
    spec = {
        "networks": ["0"],
        "images": [{"name": s.name, "label": s.label} for s in samples],
        "note": "Photographs.",
    }
    images = torch.stack([s.image for s in samples]).numpy().tobytes()
    network = export_network(coloured_network(), (32, 32), CIFAR).to_bytes()
    return for_host("noise_explorer", spec, {"0": network, "images": images}, "<explorer>")


def as_page(explorers) -> str:
    parts = "\n".join(e._repr_mimebundle_()["text/html"] for e in explorers)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test</title>'
        f'<meta name="viewport" content="width=device-width"></head><body><main>{parts}</main>'
    )


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory) -> Iterator[Page]:
    """A page opened from a file, with the explorer of the digits, its twin, and one in colour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(figures.PAGE, "1")
        patch.setattr(LivePage, "carried", set())
        html = as_page([noise_explorer(*RUNS), noise_explorer(*RUNS), colour_explorer()])
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html, "utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    for explorer in page.locator(".fs-live").all():
        explorer.locator("[data-level]").first.wait_for(timeout=PATIENCE)
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def digits(page: Page) -> Locator:
    return page.locator(".fs-live").first


@pytest.fixture
def colour(page: Page) -> Locator:
    return page.locator(".fs-live").last


@pytest.fixture(scope="module")
def networks() -> list[Rounded]:
    return [Rounded(name) for name in RUNS]


def choose(explorer: Locator, label: str, option: int) -> None:
    explorer.get_by_label(label, exact=True).select_option(index=option)


def slide(explorer: Locator, position: int, name: str = "Level") -> None:
    slider = explorer.get_by_role("slider", name=name)
    slider.focus()
    explorer.page.keyboard.press("Home")
    for _ in range(position):
        explorer.page.keyboard.press("ArrowRight")


def check(explorer: Locator, networks: Sequence, image: torch.Tensor, level: float) -> None:
    """The answers to a level come, and are those of PyTorch for the image."""
    panels = explorer.locator(f".fs-panel[data-level='{level}']")
    expect(panels).to_have_count(len(networks), timeout=PATIENCE)
    for at, network in enumerate(networks):
        panel = panels.nth(at)
        with torch.no_grad():
            expected = network(image[None].float())[0].softmax(0).numpy()
        # The level may be that of the image before: wait for the numbers.
        texts = [near(100 * p) for p in expected]
        expect(panel.locator(".fs-value")).to_have_text(texts, timeout=PATIENCE)


def near(percent: float) -> re.Pattern[str]:
    """What may be shown for a probability."""
    shown = [s for d in (-0.1, 0, 0.1) if abs((s := round(percent, 1) + d) - percent) <= SLACK]
    return re.compile("|".join(f"^{s:.1f} %$" for s in shown))


def option_image(explorer: Locator, position: int) -> torch.Tensor:
    """The test image whose number stands in the drop-down list."""
    text = explorer.get_by_label("Image", exact=True).locator("option").nth(position).text_content()
    found = re.search(r"test image (\d+)", text or "")
    assert found is not None
    return scale(load_dataset("digits").test_images[int(found[1])]).double()


def test_unstructured_noise(digits: Locator, networks: list[Rounded]):
    choose(digits, "Noise", 0)
    choose(digits, "Image", 6)
    image = option_image(digits, 6)
    for position, sigma in ((0, 0), (20, 0.04), (45, 0.09)):
        slide(digits, position)
        assert digits.locator(".fs-reading").text_content() == f"σ = {sigma}"
        check(digits, networks, image + sigma * seeded_normal(image.shape, 0), sigma)
    before = digits.locator(".fs-seed").text_content()
    digits.get_by_role("button", name="New noise").click()
    assert (before, digits.locator(".fs-seed").text_content()) == ("seed 0", "seed 1")
    check(digits, networks, image + 0.09 * seeded_normal(image.shape, 1), 0.09)


def test_structured_noise(digits: Locator, networks: list[Rounded]):
    choose(digits, "Image", 3)
    choose(digits, "Noise", 1)
    choose(digits, "Second picture x₀", 11)
    slide(digits, 40)
    image = option_image(digits, 3) + 0.4 * option_image(digits, 11)
    check(digits, networks, image, 0.4)
    choose(digits, "Noise", 0)


def test_margin_and_distances(digits: Locator, networks: list[Rounded]):
    choose(digits, "Noise", 0)
    choose(digits, "Image", 2)
    slide(digits, 10)
    image = option_image(digits, 2)
    seed = int((digits.locator(".fs-seed").text_content() or "").split()[1])
    noisy = image + 0.02 * seeded_normal(image.shape, seed)
    check(digits, networks, noisy, 0.02)
    for panel, network in zip(digits.locator(".fs-panel").all(), networks, strict=True):
        with torch.no_grad():
            x, y = (network.features(z[None].float()) for z in (image, noisy))
        top, second = y[-1][0].topk(2).values.tolist()
        margin = float((panel.locator(".fs-margin").text_content() or "").split(": ")[1])
        assert margin == pytest.approx(top - second, abs=0.01)
        expect(panel.locator(".fs-stages")).to_be_hidden()
        panel.get_by_text("Features have moved").click()
        expect(panel.locator(".fs-stages")).to_be_visible()
        rows = panel.locator(".fs-stages tbody tr").all()
        for row, n in zip(rows, (4, 7, 10, 12), strict=True):
            distance, bound = row.locator("td").all_text_contents()
            assert float(distance) == pytest.approx(float((x[n] - y[n]).norm()), rel=0.01)
            assert float(distance) < 1000 < as_number(bound)


def as_number(text: str) -> float:
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
    return float(re.sub("·10(.*)", lambda m: "e" + m[1].translate(digits), text))


def test_the_level_at_which_the_answer_changes(digits: Locator, networks: list[Rounded]):
    choose(digits, "Noise", 0)
    choose(digits, "Image", 16)
    image = option_image(digits, 16)
    seed = int((digits.locator(".fs-seed").text_content() or "").split()[1])
    noise = seeded_normal(image.shape, seed)
    for panel, network in zip(digits.locator(".fs-panel").all(), networks, strict=True):
        turning = panel.locator(".fs-turning")
        expect(turning).to_have_text(
            re.compile(r"first changes at σ = 0\.\d+, to \d"), timeout=PATIENCE
        )
        found = re.search(r"(0\.\d+), to (\d)", turning.text_content() or "")
        assert found is not None
        level = float(found[1])
        levels = torch.cat(
            [torch.arange(0, level - 1e-4, 0.004), torch.tensor([level - 1e-4, level + 1e-4])]
        )
        with torch.no_grad():
            answers = (
                network((image + levels.double()[:, None, None, None] * noise).float())
                .argmax(dim=1)
                .tolist()
            )
        assert set(answers[:-1]) == {answers[0]}
        assert answers[-1] == int(found[2]) != answers[0]


def test_the_histogram_is_that_of_many_seeds(digits: Locator, networks: list[Rounded]):
    choose(digits, "Noise", 0)
    choose(digits, "Image", 12)
    image = option_image(digits, 12)
    for panel, network in zip(digits.locator(".fs-panel").all(), networks, strict=True):
        count = panel.locator(".fs-count")
        expect(count).to_have_text(re.compile(r"^([3-9]|\d\d+) seeds"), timeout=2 * PATIENCE)
        text = count.text_content() or ""
        found = re.fullmatch(
            r"(\d+) seeds so far: σ from ([\d.]+) to ([\d.]+), half of them up to ([\d.]+)\.", text
        )
        assert found is not None, text
        levels = torch.tensor([first_change(network, image, s) for s in range(int(found[1]))])
        expected = [levels.min(), levels.max(), levels.sort().values[(len(levels) - 1) // 2]]
        np.testing.assert_allclose(
            [float(found[i]) for i in (2, 3, 4)], expected, rtol=0, atol=1e-4
        )
        assert panel.get_by_role("img", name=re.compile("^Histogram. ")).count() == 1
        assert panel.locator(".area").count() >= 1
        beyond = """all => all.filter(e => {
            const [text, svg] = [e, e.ownerSVGElement].map(z => z.getBoundingClientRect());
            return text.left < svg.left || text.right > svg.right;
        }).map(e => e.textContent)"""
        assert panel.locator("svg text").evaluate_all(beyond) == []
    before = digits.locator(".fs-count").first.text_content() or ""
    digits.get_by_role("button", name="New noise").click()  # the same survey goes on
    expect(digits.locator(".fs-turning").first).to_contain_text("first", timeout=PATIENCE)
    after = digits.locator(".fs-count").first.text_content() or ""
    assert int(after.split()[0]) >= int(before.split()[0])


def first_change(network: Rounded, image: torch.Tensor, seed: int) -> float:
    """The first σ at which the answer changes, in steps of 0.004 and then by bisection."""
    noise = seeded_normal(image.shape, seed)

    def answer(level: float) -> int:
        with torch.no_grad():
            return int(network((image + level * noise)[None].float()).argmax())

    first = answer(0)
    high = next(0.004 * i for i in range(1, 51) if answer(0.004 * i) != first)
    low = high - 0.004
    for _ in range(6):
        middle = (low + high) / 2
        low, high = (middle, high) if answer(middle) == first else (low, middle)
    return high


def test_picture_level_and_answers_share_a_screen(page: Page, digits: Locator):
    for width, height in ((1280, 800), (800, 600)):
        page.set_viewport_size({"width": width, "height": height})
        top = digits.evaluate("e => e.getBoundingClientRect().top")
        parts = ["canvas", ".fs-level", ".fs-panel:nth-child(2) .fs-bars"]
        parts += [".fs-panel:nth-child(2) .fs-count"] * (height == 800)
        for part in parts:
            bottom = digits.locator(part).first.evaluate("e => e.getBoundingClientRect().bottom")
            assert bottom - top < height - 64, part  # less the header of a page
    page.set_viewport_size({"width": 1000, "height": 900})


def test_picture_and_level_stay_on_a_phone(page: Page, digits: Locator):
    page.set_viewport_size({"width": 360, "height": 740})
    digits.locator(".fs-panel").last.evaluate("e => e.scrollIntoView()")
    for part in (digits.locator("canvas").first, digits.get_by_role("slider", name="Level")):
        expect(part).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 1000, "height": 900})


def test_a_picture_is_inverted(digits: Locator, networks: list[Rounded]):
    choose(digits, "Noise", 0)
    choose(digits, "Image", 0)
    box = digits.get_by_label("black on white: invert")
    expect(box).to_be_hidden()
    slide(digits, 0)
    give(digits, "paper.png", png(Image.fromarray(PIXELS)))
    luminance = torch.from_numpy(PIXELS @ np.array([0.299, 0.587, 0.114]) / 255)[None]
    check(digits, networks, luminance, 0)
    box.check()
    check(digits, networks, 1 - luminance, 0)
    choose(digits, "Image", 0)
    expect(box).to_be_hidden()
    check(digits, networks, option_image(digits, 0), 0)
    digits.get_by_label("Image", exact=True).select_option(label="yours: paper.png")
    expect(box).to_be_checked()
    check(digits, networks, 1 - luminance, 0)


def png(image: Image.Image) -> bytes:
    return figures.encode(image, "PNG")


RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (32, 32, 3), dtype=np.uint8)
CUT_OUT = np.dstack([PIXELS, np.where(np.arange(32) < 16, 255, 0) * np.ones((32, 1))])


def on_white(pixels: np.ndarray) -> np.ndarray:
    return np.where(pixels[..., 3:] > 0, pixels[..., :3], 255)


GOOD = {
    "colours": (Image.fromarray(PIXELS), PIXELS),
    "transparent": (Image.fromarray(CUT_OUT.astype(np.uint8)), on_white(CUT_OUT)),
    "one channel": (Image.fromarray(PIXELS[..., 0]), PIXELS[..., [0, 0, 0]]),
    "large": (Image.fromarray(np.full((1500, 4000, 3), 77, np.uint8)), np.full((32, 32, 3), 77)),
    "one pixel": (Image.fromarray(np.full((1, 1, 3), 200, np.uint8)), np.full((32, 32, 3), 200)),
}


def give(explorer: Locator, name: str, content: bytes) -> None:
    file = {"name": name, "mimeType": "image/png", "buffer": content}
    explorer.locator("input[type=file]").set_input_files([file])


@pytest.mark.parametrize("kind", GOOD)
def test_a_picture_of_the_reader(digits: Locator, colour: Locator, networks, kind: str):
    picture, pixels = GOOD[kind]
    expected = torch.from_numpy(pixels / 255).permute(2, 0, 1)
    luminance = (torch.tensor([0.299, 0.587, 0.114])[:, None, None] * expected).sum(0, keepdim=True)
    for explorer, those, image in (
        (colour, [coloured_network()], expected),
        (digits, networks, luminance),
    ):
        slide(explorer, 0)
        give(explorer, f"{kind}.png", png(picture))
        expect(explorer.get_by_label("Image", exact=True)).to_contain_text(f"yours: {kind}.png")
        check(explorer, those, image, 0)
        assert explorer.locator(".fs-message").text_content() == ""


def test_the_middle_of_a_picture_is_taken(colour: Locator):
    """Scaled down by 10, smoothly: the scores are near those of Pillow's picture."""
    x = np.linspace(0, 3, 640)[None, :, None] + np.linspace(0, 2, 320)[:, None, None]
    pixels = (127 + 120 * np.sin(x + np.arange(3))).astype(np.uint8)
    slide(colour, 0)
    give(colour, "wide.png", png(Image.fromarray(pixels)))
    expect(colour.get_by_label("Image", exact=True)).to_contain_text("yours: wide.png")
    middle = Image.fromarray(pixels[:, 160:480]).resize((32, 32), Image.Resampling.BOX)
    colour.page.wait_for_timeout(500)
    shown = colour.page.evaluate(
        """canvas => [...canvas.getContext("2d").getImageData(0, 0, 32, 32).data]""",
        colour.locator("canvas").element_handle(),
    )
    shown = np.array(shown, dtype=float).reshape(32, 32, 4)[..., :3]
    assert np.abs(shown - np.asarray(middle, dtype=float)).max() < 6  # of 255


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no picture", "is not a picture"),
        (b"", "is not a picture"),
        (png(Image.fromarray(PIXELS))[:60], "is not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "is not a picture"),
        (png(Image.new("1", (9000, 8000))), "has 9000 x 8000 pixels; 50 million is the most"),
    ],
    ids=["text", "empty", "cut short", "svg", "many pixels"],
)
def test_a_file_that_is_no_use(digits: Locator, networks, content: bytes, message: str):
    choose(digits, "Image", 1)
    give(digits, "file.png", content)
    expect(digits.get_by_role("alert")).to_contain_text(message, timeout=PATIENCE)
    slide(digits, 5)
    seed = int((digits.locator(".fs-seed").text_content() or "").split()[1])
    image = option_image(digits, 1)
    check(digits, networks, image + 0.01 * seeded_normal(image.shape, seed), 0.01)
    choose(digits, "Image", 0)
    assert digits.get_by_role("alert").text_content() == ""


def drop(explorer: Locator, content: str) -> None:
    """Drop a file, made of a JavaScript expression."""
    explorer.evaluate(
        """(root, content) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(eval(content))], "dropped.png"));
            root.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, cancelable: true}));
        }""",
        content,
    )


def test_a_picture_is_dropped(colour: Locator):
    drop(colour, str(list(png(GOOD["colours"][0]))))
    expect(colour.get_by_label("Image", exact=True)).to_contain_text("yours: dropped.png")
    check(colour, [coloured_network()], torch.from_numpy(PIXELS / 255).permute(2, 0, 1), 0)


def test_a_file_of_many_bytes_is_dropped(colour: Locator):
    drop(colour, "50000001")
    expect(colour.get_by_role("alert")).to_contain_text("50 MB is the most")


def test_a_screen_reader_hears_the_answers(digits: Locator):
    choose(digits, "Image", 0)
    slide(digits, 3)
    status = digits.get_by_role("status")
    expect(status).to_have_text(
        re.compile(
            r"^σ = 0.006\. ResNet-D, m = 3: 0, .* %, right\. ResNet-S, m = 3: 0, .*right\.$"
        ),
        timeout=PATIENCE,
    )
    assert digits.get_by_role("slider").get_attribute("aria-valuetext") == "σ = 0.006"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(page: Page, dark: bool):
    set_colours(page, dark)
    roots = page.locator(".fs-live" + ("[data-dark]" if dark else ":not([data-dark])"))
    expect(roots).to_have_count(3)
    assert find_barriers(page, ".fs-live") == []


def test_it_fits_a_phone(page: Page):
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.scrollingElement.scrollWidth") == 360
    page.set_viewport_size({"width": 1000, "height": 900})


def test_a_page_carries_each_network_once(page: Page):
    digests = page.eval_on_selector_all("script[data-live]", "all => all.map(s => s.dataset.live)")
    texts = len(modules("noise_explorer")) + 1  # and the style
    assert len(digests) == len(set(digests)) == texts + 3 + 2  # networks; images


def test_in_a_kernel_nothing_is_stored_but_text():
    bundle, _ = noise_explorer(*RUNS)._repr_mimebundle_()
    assert (
        bundle["text/plain"]
        == "<noise explorer: ResNet-D, m = 3, ResNet-S, m = 3, trained on digits>"
    )
    assert len(str(bundle)) < 1000


def test_runs_of_one_data_set(tmp_path):
    with pytest.raises(InputError, match="one data set"):
        noise_explorer()


def test_images_where_the_data_set_is_missing(tmp_path, monkeypatch):
    """The samples of a run are its test images; without them, photographs of the same shape."""
    monkeypatch.setenv("FORWARD_STABILITY_DATA", str(tmp_path / "root"))
    for split in ("train", "test"):
        for label, value in (("cat", 30), ("dog", 200)):
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for i in range(3):
                pixels = np.full((8, 8, 3), value + i, np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / label / f"{i}.png")
    config = Config("D", 1, 2, f"imagefolder:{tmp_path / 'images'}", steps=1, batch_size=4)
    run = train(config, tmp_path / "run")
    samples, note = choose_samples(run)
    assert [(s.label, int(s.image.max())) for s in samples] == [
        (0, 30),
        (0, 31),
        (1, 200),
        (1, 201),
    ]
    assert "test images" in note
    there = noise_explorer(run).text
    (tmp_path / "images").rename(tmp_path / "gone")
    samples, note = choose_samples(run)
    assert [(s.name, s.label) for s in samples] == [
        ("a cat (a photograph)", 0),
        ("a cup of coffee (a photograph)", None),
        ("a rocket (a photograph)", None),
    ]
    assert all(s.image.shape == (3, 8, 8) and s.image.float().std() > 10 for s in samples)
    assert "photographs" in note
    assert noise_explorer(run).text == there


def test_on_the_page_of_the_book(browser: Browser, networks: list[Rounded]):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(4 * PATIENCE)
    with serve() as address:
        open_page(page, f"{address}/book/14_corrupted_images.html")
        explorer = page.locator(".fs-live").first
        page.locator(".live").first.scroll_into_view_if_needed()  # loads its networks
        explorer.locator("[data-level]").first.wait_for(timeout=PATIENCE)
        choose(explorer, "Image", 5)
        for position, sigma in ((15, 0.03), (40, 0.08)):
            slide(explorer, position)
            image = option_image(explorer, 5)
            check(explorer, networks, image + sigma * seeded_normal(image.shape, 0), sigma)
    page.close()


@pytest.fixture
def small(monkeypatch) -> str:
    """A page with the explorer in colour alone."""
    monkeypatch.setenv(figures.PAGE, "1")
    monkeypatch.setattr(LivePage, "carried", set())
    return as_page([colour_explorer()])


EVERYTHING = "default-src 'self' data: blob: 'unsafe-inline'; img-src *"
INLINE = "script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src data:"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (f"{EVERYTHING}; worker-src 'none'", "No network can run here"),
        (f"{INLINE}; worker-src blob:", "What moves here cannot start"),
        ("script-src 'none'", "Nothing moves here until scripts run."),
    ],
)
def test_a_policy_that_stops_the_explorer_is_said(browser: Browser, small, policy, said):
    page = browser.new_page()
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    page.set_content(small.replace("<head>", f"<head>{meta}"))
    expect(page.locator("main")).to_contain_text(said, timeout=PATIENCE)
    assert page.get_by_role("slider").count() == 0
    page.close()


def test_a_browser_without_workers_or_scripts_says_so(browser: Browser, small):
    page = browser.new_page()
    page.add_init_script("delete globalThis.Worker")
    page.goto("about:blank")
    page.set_content(small)
    expect(page.get_by_role("alert")).to_contain_text("forbids workers", timeout=PATIENCE)
    page.close()
    page = browser.new_page(java_script_enabled=False)
    page.set_content(small)
    expect(page.locator("main")).to_contain_text("Nothing moves here until scripts run.")
    page.close()


def test_a_worker_that_breaks_down_is_said(browser: Browser, small):
    page = browser.new_page()
    page.add_init_script("""
        const Original = Worker;
        globalThis.Worker = class extends Original {
            constructor(address) { super(address); globalThis.worker = this; }
        };
    """)
    page.goto("about:blank")
    page.set_content(small)
    page.locator("[data-level]").wait_for(timeout=PATIENCE)
    page.evaluate("worker.onerror(new ErrorEvent('error'))")
    slide(page.locator(".fs-live"), 3)
    expect(page.get_by_role("alert")).to_contain_text("forbids workers", timeout=PATIENCE)
    page.close()


def test_a_screen_reader_hears_nothing_before_there_is_an_answer(browser: Browser, small):
    """The answers are held back for longer than the announcer waits."""
    page = browser.new_page()
    page.clock.install()
    page.add_init_script("""
        const { postMessage } = Worker.prototype;
        globalThis.held = [];
        Worker.prototype.postMessage = function (message) {
            const send = () => postMessage.call(this, message);
            if (message.task === "answer" && held) held.push(send); else send();
        };
    """)
    page.goto("about:blank")
    page.set_content(small)
    page.wait_for_function("held.length > 0", timeout=PATIENCE)
    page.clock.run_for(5000)
    status = page.get_by_role("status")
    assert status.inner_text() == ""
    page.evaluate("const all = held; held = null; all.forEach(send => send())")
    page.locator("[data-level]").wait_for(timeout=PATIENCE)
    page.clock.run_for(5000)
    assert re.fullmatch(
        r"\S.*\. ResNet, m = 2: \w+, [\d.]+ %, (right|wrong)\.", status.inner_text()
    )
    page.close()


def test_the_bars_of_probabilities_are_seen_with_forced_colours(browser: Browser, small):
    page = browser.new_page(forced_colors="active")
    page.set_content(small)
    page.locator("[data-level]").wait_for(timeout=PATIENCE)
    page.locator(".fs-bar").first.evaluate("e => { e.style.width = '60px'; }")
    for chosen in ("", "fs-label"):  # an outline, or filled
        page.locator(".fs-bars tr").first.evaluate("(e, name) => { e.className = name; }", chosen)
        shown = Image.open(io.BytesIO(page.locator(".fs-track").first.screenshot())).convert("L")
        grey = np.asarray(shown, dtype=float)
        dark = np.abs(grey - grey[:, -2:].mean()) > 100
        columns = dark[:, 5:50].sum(axis=0)
        assert columns.min() >= (10 if chosen else 3), columns
    page.close()
