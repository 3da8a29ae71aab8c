"""Gradient attacks inside certified balls, by the engine of the page, in a browser.

    python studies/breaking.py [RUN] [--tries N] [--out FILE]

The network runs as it does on a page of the book: 16 bits a weight, float64, the convolutions of
Winograd. One test image after another is attacked in the ball of its certified radius, by descents
of 30 steps from random starts towards one other class each. Every gradient is a try: the image that
it is computed for is an image whose answer is looked at. Counted are the tries, and those that
answer otherwise inside the radius. Also measured is what the radius loses, for all test images: to
the 16 bits and to the rounding in the page, against the radius without both for the same scores. It
needs a Chromium or Chrome.
"""

import argparse
import base64
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from forward_stability.book.deviation import Affine, Deviation
from forward_stability.book.live.compose import compose
from forward_stability.book.page_certificate import Certificate, certified_export, certify_run
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.device import choose_device
from forward_stability.experiments.provenance import command, environment
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import write_json
from forward_stability.folding import forward

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from browser import find_chromium, launch

STEPS = 30
DESCENTS = 9  # of an image in a round: one for each other class
NONE = Deviation(Affine(0.0, 0.0), Affine(0.0, 0.0))

ENGINE = """
import { attack, length } from "./attack.js";
import { radius, ROOM } from "./certificate.js";
import { Network } from "./network.js";

const numbers = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
let network, images;

globalThis.open = (file, pixels, count) => {
  network = new Network(numbers(file).buffer);
  const all = Float64Array.from(numbers(pixels), (z) => z / 255), size = all.length / count;
  images = Array.from({ length: count }, (_, i) => all.subarray(i * size, (i + 1) * size));
  return images.map((x) => {
    const features = network.features(x);
    return radius(network.header.certificate, features.at(-1).data, length(features[0].data));
  });
};

globalThis.round = (i, r, seed, { descents, steps }) => {
  let tries = 0, refuted = 0;
  for (let n = 0; n < descents; n++) {
    const found = attack(network, images[i], r, { seed: seed + n, steps });
    tries += found.tries + 1;
    if (found.found && found.distance * (1 + ROOM) < r) refuted++;
  }
  return { tries, refuted };
};
"""


def losses(certificate: Certificate, scores: torch.Tensor, norms: torch.Tensor) -> dict[str, float]:
    """The median share of the radius that the weights and the rounding take, in per cent."""
    without = replace(certificate, rounding=NONE, weights=NONE).radii(scores, norms)
    some = without > 0

    def lost(**kept: Deviation) -> float:
        left = replace(certificate, **({"rounding": NONE, "weights": NONE} | kept))
        return float(100 * (1 - left.radii(scores, norms) / without)[some].median())

    return {
        "weights": lost(weights=certificate.weights),
        "rounding": lost(rounding=certificate.rounding),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", nargs="?", default="digits-S-m2-theorem-seed0", metavar="RUN")
    parser.add_argument("--tries", type=int, default=1_000_000, help="default: a million")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    run, about = Run(args.run), environment(choose_device("cpu"))
    exported, certificate = certified_export(run), certify_run(run)
    pixels = load_dataset(run.config.dataset, progress=False).test_images
    x = scale(pixels).double() - exported.tensors["mean"].double()
    lost = losses(certificate, forward(exported.layers, x), x.flatten(1).norm(dim=1) * (1 + 1e-12))
    print(f"lost of the radius in the median: {lost['weights']:.3f} % to the weights, ", end="")
    print(f"{lost['rounding']:.2g} % to rounding")
    executable = find_chromium()
    if executable is None:
        raise SystemExit("no Chromium or Chrome was found")
    with launch(executable) as browser:
        page = browser.new_page()
        page.add_script_tag(content=compose("engine", {"engine": ENGINE}))
        text = [
            base64.b64encode(b).decode() for b in (exported.to_bytes(), pixels.numpy().tobytes())
        ]
        radii = page.evaluate("([file, pixels, n]) => open(file, pixels, n)", [*text, len(pixels)])
        certified = [i for i, r in enumerate(radii) if r > 0]
        total = {"tries": 0, "descents": 0, "refuted": 0}
        started, rounds = time.time(), 0
        options = {"descents": DESCENTS, "steps": STEPS}
        while total["tries"] < args.tries:
            i = certified[rounds % len(certified)]
            seed = DESCENTS * (rounds // len(certified))
            found = page.evaluate(
                "([i, r, seed, options]) => round(i, r, seed, options)",
                [i, radii[i], seed, options],
            )
            rounds += 1
            total["tries"] += found["tries"]
            total["refuted"] += found["refuted"]
            total["descents"] += DESCENTS
            if rounds % 100 == 0:
                print(f"{total['tries']:,} tries, {total['refuted']} refuted", flush=True)
        version = browser.version
    seconds = time.time() - started
    print(f"{total['tries']:,} tries, {total['refuted']} refuted, {seconds:.0f} s")
    if args.out:
        content = {
            "command": command(),
            "environment": about | {"browser": f"Chromium {version}"},
            "run": run.folder.name,
            "images": len(pixels),
            "certified": len(certified),
            "attacked": min(rounds, len(certified)),
            "steps": STEPS,
            **total,
            "seconds": seconds,
            "lost_percent": lost,
        }
        write_json(args.out, content)


if __name__ == "__main__":
    main()
