"""The explorers in JupyterLab, with the keyboard: their numbers are PyTorch's."""

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect
from test_noise_explorer import PATIENCE, RUNS, Rounded, check, choose, option_image, slide

from forward_stability.experiments.noise import seeded_normal
from forward_stability.experiments.runs import Run
from forward_stability.models import Network

START = 20 * PATIENCE  # for JupyterLab and the kernel
CODE = f"""\
from forward_stability.book.live.features_explorer import features_explorer
from forward_stability.book.live.noise_explorer import noise_explorer
display(noise_explorer(*{RUNS}), features_explorer(*{RUNS}))"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[str]:
    """The address of a notebook with the explorers in a JupyterLab with no settings."""
    folder: Path = tmp_path_factory.mktemp("lab")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(CODE)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "test.ipynb")
    token = secrets.token_hex(8)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
    command += ["--LabApp.expose_app_in_browser=True"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    home = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    log = folder / "log.txt"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=os.environ | home, stdout=output, stderr=output) as server,
    ):
        try:
            while (found := re.search(r"http://(localhost|127\S*):\d+", log.read_text())) is None:
                assert server.poll() is None, log.read_text()
                time.sleep(0.2)
            yield f"{found[0]}/lab/tree/test.ipynb?token={token}"
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def page(browser: Browser, lab: str) -> Iterator[Page]:
    """The notebook after its cell has run."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(lab, timeout=START)
    # A cell that is run before its kernel is there does not run, and the page says idle until then.
    kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
    page.wait_for_function(f"{kernel}?.status === 'idle'", timeout=START)
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.locator("[data-level]").nth(1).wait_for(timeout=START)
    page.locator("[data-shown]").nth(1).wait_for(timeout=PATIENCE)
    yield page
    page.close()


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    return [Run(name).network() for name in RUNS]


@pytest.fixture
def noise(page: Page) -> Locator:
    return page.locator(".fs-live").first


def test_noise(noise: Locator):
    choose(noise, "Image", 8)
    slide(noise, 25)
    image = option_image(noise, 8)
    noisy = image + 0.05 * seeded_normal(image.shape, 0)
    check(noise, [Rounded(name) for name in RUNS], noisy, 0.05)


def test_keys_are_not_commands_of_the_notebook(page: Page, noise: Locator):
    """As a command of the notebook, x cuts the cell."""
    noise.get_by_label("Image", exact=True).focus()
    page.keyboard.press("x")
    noise.get_by_role("slider", name="Level").focus()
    page.keyboard.press("x")
    expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_contain_text("noise_explorer")


def test_features(page: Page, networks: list[Network]):
    features = page.locator(".fs-live").last
    for name, position in (("Layer", 5), ("Channel", 2)):
        slide(features, position, name)
    expect(features.locator("[data-shown='5/2']")).to_have_count(2, timeout=PATIENCE)
    image = option_image(features, 0)[None].float()
    for panel, network in zip(features.locator(".fs-panel").all(), networks, strict=True):
        with torch.no_grad():
            channel = network.features(image)[5][0, 2]
        caption = panel.locator("figcaption").text_content() or ""
        low, high = (float(z) for z in re.findall(r"-?\d+\.\d+", caption))
        assert low == pytest.approx(float(channel.min()), abs=0.006)
        assert high == pytest.approx(float(channel.max()), abs=0.006)
