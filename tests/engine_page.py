"""The engine of the browser on an empty page, for tests that compare it with Python."""

import base64

import numpy as np
import torch
from playwright.sync_api import Browser, Page

from forward_stability.book.live.compose import compose

ENGINE = """\
import { attack, length, project } from "./attack.js";
import { radius } from "./certificate.js";
import { convolve, transformed } from "./convolution.js";
import { blurred, constant, deblur } from "./deblurring.js";
import { Network } from "./network.js";
import { standardNormal } from "./normal.js";
import { multiply, oneByOne, room } from "./products.js";
Object.assign(globalThis, { Network, attack, blurred, constant, convolve, deblur, length, multiply,
  oneByOne, project, radius, room, standardNormal, transformed });
"""


def start_engine(browser: Browser, policy: str = "") -> Page:
    """A page on which the engine is loaded, and ``bytes`` and ``text`` move numbers.

    Args:
        policy: what the page allows, as a Content-Security-Policy.
    """
    page = browser.new_page()
    if policy:
        page.set_content(f'<meta http-equiv="Content-Security-Policy" content="{policy}">')
    page.add_script_tag(content=compose("engine", {"engine": ENGINE}))
    page.evaluate("""() => {
        globalThis.bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
        globalThis.text = (numbers) => {
            const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
            let all = "";
            for (const byte of bytes) all += String.fromCharCode(byte);
            return btoa(all);
        };
    }""")
    return page


def encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def numbers(values: torch.Tensor) -> str:
    """Numbers as float64, which ``bytes`` reads."""
    return encode(values.double().contiguous().numpy().tobytes())


def decode(text: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f8").copy())
