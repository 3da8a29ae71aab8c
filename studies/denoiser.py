"""Denoisers with and without the hypothesis that makes plug-and-play converge.

    python studies/denoiser.py train constrained [SEED ...]    # minutes a seed on one core
    python studies/denoiser.py train twin [SEED ...]
    python studies/denoiser.py deblur [KIND [SEED ...]]        # rows that are there are replaced

Trains :class:`~forward_stability.denoiser.Denoiser` on photographs of scikit-image with noise: with
‖A‖² ≤ 2θ in every layer, and the same without. Then deblurs four other crops with each, and with
two regularisers as a baseline. All options (strength of the denoiser, weights of the regularisers)
are those with the best mean PSNR on crops of the training photographs. Writes the weights to
``results/denoiser-KIND-seedN.safetensors`` and the rest to ``results/denoiser.json``.

Chapter 16.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor
from torch.nn.utils import parametrize

from forward_stability.book.photographs import (
    BLUR,
    SENSOR,
    SIZE,
    TRAINING,
    blur_filter,
    blurred,
    photograph,
)
from forward_stability.constraint import plain_weights
from forward_stability.denoiser import Denoiser, plug_and_play, plug_and_play_constant
from forward_stability.experiments.provenance import environment, results_root
from forward_stability.experiments.storage import load_tensors, read_json, save_tensors, write_json
from forward_stability.operators import conv
from forward_stability.spectral import norm_ball, proven_norm

SEEDS = (0, 1, 2)
THETA = 0.75
NOISE = 0.1  # of the training
WIDTH, DEPTH = 8, 6
STEPS, BATCH, PATCH, RATE = 1000, 8, 24, 0.01
ITERATIONS, TUNING = 200, 30
STRENGTHS = (0.05, 0.1, 0.2, 0.5)
WEIGHTS = [10 ** (-k / 4) for k in range(4, 17, 2)]
LOGARITHMIC = sorted({round(10 ** (k / 20)) - 1 for k in range(46)} | {ITERATIONS - 1})
COMMAND = "python studies/denoiser.py deblur"
KINDS = ("constrained", "twin")


def patches(random: torch.Generator) -> Tensor:
    """A batch of random patches of the training photographs."""
    chosen = []
    for _ in range(BATCH):
        picture = photograph(TRAINING[int(torch.randint(len(TRAINING), (1,), generator=random))])
        i, j = (int(torch.randint(n - PATCH, (1,), generator=random)) for n in picture.shape)
        chosen.append(picture[i : i + PATCH, j : j + PATCH])
    return torch.stack(chosen)[:, None].float()


def train(kind: str, seed: int) -> dict[str, Any]:
    """Train one denoiser and keep its weights; the same patches and noise for both kinds."""
    torch.manual_seed(seed)
    network, start = Denoiser(WIDTH, DEPTH), time.perf_counter()
    with torch.no_grad():
        for layer in network.layers:
            layer.initialise_((PATCH, PATCH), "identity")  # type: ignore[operator]
    if kind == "constrained":
        network.constrain_((PATCH, PATCH), THETA)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    random, losses = torch.Generator().manual_seed(seed), []
    for step in range(STEPS):
        clean = patches(random)
        noisy = clean + NOISE * torch.randn(clean.shape, generator=random)
        with parametrize.cached():
            loss = (network(noisy) - clean).square().mean()
            optimiser.zero_grad()
            loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 99:
            print(
                kind, seed, step + 1, f"{psnr(torch.tensor(losses[-100:]).mean()):.2f}", flush=True
            )
    seconds = time.perf_counter() - start
    weights = plain_weights(network)
    if kind == "constrained":  # on images of 64 x 64 pixels the norms are a little larger
        other = loaded(weights, torch.float32)
        for layer in other.layers:
            norm_ball(layer.conv, (2 * THETA) ** 0.5, (SIZE, SIZE))  # type: ignore[arg-type]
        weights = plain_weights(other)
    about = {"seed": seed, "kind": kind, "seconds": round(seconds), **environment("cpu")}
    save_tensors(path(kind, seed), weights, about)
    return about


def path(kind: str, seed: int) -> Path:
    return results_root() / f"denoiser-{kind}-seed{seed}.safetensors"


def loaded(weights: dict[str, Tensor], dtype: torch.dtype = torch.float64) -> Denoiser:
    network = Denoiser(WIDTH, DEPTH)
    network.load_state_dict(weights)
    return network.to(dtype).requires_grad_(False)


def psnr(error: Tensor) -> float:
    return float(-10 * torch.log10(error))


def each_psnr(x: Tensor, clean: Tensor) -> list[float]:
    return [psnr(e) for e in (x.clamp(0, 1) - clean).square().mean((1, 2, 3))]


def tikhonov(y: Tensor, weight: float) -> Tensor:
    """argmin ‖Bx − y‖² + weight ‖∇x‖², by the Fourier transform."""

    def response(K: Tensor) -> Tensor:
        impulse = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.float64)
        impulse[..., 0, 0] = 1
        return torch.fft.fft2(conv(impulse, K))

    laplace = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=torch.float64)
    b = response(blur_filter())
    x = torch.fft.fft2(y) * b.conj() / (b.abs() ** 2 + weight * response(laplace[None, None]).real)
    return torch.fft.ifft2(x).real


def total_variation(y: Tensor, weight: float, steps: int) -> Tensor:
    """The same iteration with the proximal step of the total variation as the denoiser."""

    def denoise(z: Tensor) -> Tensor:
        parts = [denoise_tv_chambolle(image[0].numpy(), weight, max_num_iter=50) for image in z]
        return torch.stack([torch.from_numpy(part) for part in parts])[:, None]

    return plug_and_play(denoise, blur_filter(), y, steps).x[-1]


def best(options: Any, deblur: Callable[[Tensor, float], Tensor]) -> float:
    """The option with the largest mean PSNR on crops of the training photographs."""
    clean, y = blurred("train")
    return max(options, key=lambda option: sum(each_psnr(deblur(y, option), clean)))


def result(kind: str, seed: int) -> dict[str, Any]:
    """What one denoiser does: alone, at its best strength, and at full strength."""
    weights, about = load_tensors(path(kind, seed), "run the training again")
    network, (clean, y), K = loaded(weights), blurred("test"), blur_filter()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)).double()
    filters = [layer.conv.weight.double() for layer in network.layers]  # type: ignore
    row: dict[str, Any] = {
        "kind": kind,
        "seed": seed,
        "seconds": about["seconds"],
        "denoising": each_psnr(network(clean + NOISE * noise), clean),
        "norms": [proven_norm(f, (SIZE, SIZE)) for f in filters],  # type: ignore
    }
    beta = best(STRENGTHS, lambda y, b: plug_and_play(network, K, y, TUNING, b).x[-1])
    for name, strength in {"tuned": beta, "full": 1.0}.items():
        run = plug_and_play(network, K, y, ITERATIONS, strength)
        row[name] = {
            "beta": strength,
            "psnr": [rounded(each_psnr(run.x[k + 1], clean)) for k in LOGARITHMIC],
            "residuals": [rounded(run.residuals[k].tolist()) for k in LOGARITHMIC],
        }
        if kind == "constrained":
            row[name]["kappa"] = plug_and_play_constant(network, K, (SIZE, SIZE), strength)
        print(kind, seed, name, strength, row[name]["psnr"][-1], flush=True)
    return row


def rounded(values: list[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def baselines() -> dict[str, Any]:
    """What needs no network, and how everything was made."""
    clean, y = blurred("test")
    alpha = best(WEIGHTS, tikhonov)
    weight = best(WEIGHTS, lambda y, w: total_variation(y, w, TUNING))
    variation = total_variation(y, weight, ITERATIONS)
    return {
        "training": {
            "photographs": list(TRAINING), "theta": THETA, "noise": NOISE, "width": WIDTH,
            "depth": DEPTH, "steps": STEPS, "batch_size": BATCH, "patch": PATCH, "rate": RATE,
        },
        "blur": BLUR, "noise": SENSOR, "steps": LOGARITHMIC, "tuning_iterations": TUNING,
        "blurred": each_psnr(y, clean),
        "tikhonov": {"weight": alpha, "psnr": each_psnr(tikhonov(y, alpha), clean)},
        "total_variation": {"weight": weight, "psnr": each_psnr(variation, clean)},
        "networks": [],
    }  # fmt: skip


def main() -> None:
    """Train, or measure what is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("train", "deblur"))
    parser.add_argument("kind", nargs="?", choices=KINDS)
    parser.add_argument("seeds", nargs="*", type=int)
    args = parser.parse_args()
    torch.set_num_threads(1)
    file = results_root() / "denoiser.json"
    if args.what == "deblur" and not file.is_file():
        write_json(file, baselines())
    for kind in (args.kind,) if args.kind else KINDS:
        for seed in args.seeds or SEEDS:
            if args.what == "train":
                print(train(kind, seed), flush=True)
                continue
            row, table = result(kind, seed), read_json(file)
            rows = [r for r in table["networks"] if (r["kind"], r["seed"]) != (kind, seed)]
            rows = sorted([*rows, row], key=lambda r: (r["kind"], r["seed"]))
            about = {
                "command": "python studies/denoiser.py deblur",
                "environment": environment("cpu"),
            }
            write_json(file, about | table | {"networks": rows})


if __name__ == "__main__":
    main()
