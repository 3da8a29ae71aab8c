"""A training step, as most people would write it and as this package does, side by side.

    python benchmarks/training.py [--dataset digits] [--device auto] [--threads 2] [--out FILE]

Every loop trains the same network from the same initial weights with the protocol of Sect. 4. The
loops are interleaved block by block, since a shared machine is slow at times; a step takes the
mean of a block, and the best block counts. The loss of the last block stands beside it, so that
speed is not bought with accuracy. Below, several runs at once on the one device, each in a process
with one thread: how many training steps they take together.

common    a DataLoader with two worker processes, torchvision's transforms image by image, periodic
          padding by F.pad(mode="circular"), the default memory layout, the loss read every step
plain     the same, with the images cropped and flipped on the device
ours      what `forward-stability train` does; on a GPU also without compiled layers ("graph"), and
          without a CUDA graph, too ("eager")

Two yardsticks: the operations of the convolutions at the speed of a large matrix product in float32
on this machine (TF32 on a GPU, as in the convolutions); and the tensors that the backward pass
needs in float32, each of which (and its gradient) is written once and read once, at the speed of a
large copy. Caches hold some of them, so that a loop can be faster than the second.

With --profile FILE, in place of all this: the kernels of a step on a GPU, without compiled layers.
"""

import argparse
import math
import multiprocessing
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from forward_stability import operators
from forward_stability.experiments.config import Config
from forward_stability.experiments.cuda_graph import measuring
from forward_stability.experiments.data import PAD, Dataset, augment, load_dataset, scale
from forward_stability.experiments.device import choose_device
from forward_stability.experiments.provenance import command, environment
from forward_stability.experiments.storage import write_json
from forward_stability.experiments.training import COMPILE_FROM, Trainer
from forward_stability.models import VARIANTS, project_

WARM_UP = 5
"""Steps of a block that are not timed: a DataLoader has prepared some while others ran."""


class Pictures(torch.utils.data.Dataset):
    """The training images as torchvision's data sets give them: a PIL image, then transforms."""

    def __init__(self, dataset: Dataset) -> None:
        self.images, self.labels = dataset.train_images, dataset.train_labels
        height, width = self.images.shape[-2:]
        flip = [transforms.RandomHorizontalFlip()] if dataset.flips else []
        fill = tuple((255 * dataset.border).round().int().flatten().tolist())
        crop = transforms.RandomCrop((height, width), padding=PAD, fill=fill)  # type: ignore
        self.transform = transforms.Compose([crop, *flip, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        pixels = self.images[i].permute(1, 2, 0).squeeze(-1).numpy()
        image: Any = self.transform(Image.fromarray(pixels))
        return image, int(self.labels[i])


def forever(loader: DataLoader) -> Generator[tuple[Tensor, Tensor], None, None]:
    while True:
        yield from loader


class Common(Trainer):
    """The loop that most people would write around the same network and optimiser."""

    def __init__(self, config: Config, dataset: Dataset, device: str) -> None:
        super().__init__(config, dataset, device)
        self.network.to(memory_format=torch.contiguous_format)
        self.optimiser = torch.optim.SGD(
            [{**g, "lr": config.learning_rate, "fused": None} for g in self.optimiser.param_groups],
            config.learning_rate,
            config.momentum,
        )
        gpu = device != "cpu"
        loader = DataLoader(
            Pictures(dataset), config.batch_size, shuffle=True, num_workers=2, pin_memory=gpu
        )
        self.batches_of_images = forever(loader)

    def images_and_labels(self, step: int) -> tuple[Tensor, Tensor]:
        images, labels = next(self.batches_of_images)
        return images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def step(self, step: int) -> Tensor:
        images, labels = self.images_and_labels(step)
        ours = operators.periodic_pad
        operators.periodic_pad = lambda x, p: F.pad(x, (p,) * 4, mode="circular")
        try:
            loss = F.cross_entropy(self.network(images), labels)
        finally:
            operators.periodic_pad = ours
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        project_(self.network)
        return torch.tensor(loss.item())


class Plain(Common):
    def images_and_labels(self, step: int) -> tuple[Tensor, Tensor]:
        batch = self.batch(step)
        index, shifts, flips = batch[:, 0], batch[:, 1:3], batch[:, 3].bool()
        images = augment(scale(self.images[index]), self.border, shifts, flips)
        return images.contiguous(), self.labels[index]


class Eager(Trainer):
    def __init__(self, config: Config, dataset: Dataset, device: str) -> None:
        super().__init__(config, dataset, device)
        self.update = self._update


def loops(config: Config, device: str) -> dict[str, tuple[type[Trainer], Config]]:
    """The loops to compare: name, trainer and configuration."""
    half, short = replace(config, precision="bfloat16"), replace(config, steps=COMPILE_FROM - 1)
    result: dict[str, tuple[type[Trainer], Config]] = {
        "common": (Common, config),
        "plain": (Plain, config),
    }
    if device != "cpu":
        result |= {"ours, eager": (Eager, short), "ours, graph": (Trainer, short)}
    return result | {"ours, float32": (Trainer, config), "ours, bfloat16": (Trainer, half)}


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def compare(config: Config, dataset: Dataset, device: str, blocks: int, steps: int) -> list[dict]:
    """Milliseconds a step, images a second and the loss in the end, for each loop."""
    torch.compiler.reset()  # what was compiled for other networks counts towards a limit
    chosen = loops(config, device)
    trainers = {name: kind(c, dataset, device) for name, (kind, c) in chosen.items()}
    best, loss = dict.fromkeys(trainers, math.inf), {}
    for block in range(blocks):
        for name, trainer in trainers.items():
            first = block * (WARM_UP + steps)
            losses = [trainer.step(first + i) for i in range(WARM_UP)]
            wait(device)
            begin = time.perf_counter()
            losses = [trainer.step(first + WARM_UP + i) for i in range(steps)]
            wait(device)
            best[name] = min(best[name], (time.perf_counter() - begin) / steps)
            loss[name] = torch.stack(losses).mean().item()
    for trainer in trainers.values():
        if isinstance(trainer, Common):
            trainer.batches_of_images.close()  # and its workers, before others are started
    return [
        {
            "loop": name,
            "milliseconds": 1000 * best[name],
            "images_a_second": config.batch_size / best[name],
            "times_the_common": best["common"] / best[name],
            "loss": loss[name],
        }
        for name in trainers
    ]


def fastest(function: Callable[[], Any], device: str, repeat: int = 5) -> float:
    """The least seconds that a call takes."""
    best = math.inf
    for _ in range(repeat + 1):
        wait(device)
        begin = time.perf_counter()
        function()
        wait(device)
        best = min(best, time.perf_counter() - begin)
    return best


def yardsticks(config: Config, dataset: Dataset, device: str) -> dict[str, float]:
    """Operations and bytes of a step in float32, and the milliseconds each of them would take."""
    trainer = Trainer(replace(config, steps=1), dataset, device)  # not compiled
    saved: dict[int, int] = {}

    def remember(x: Tensor) -> Tensor:
        saved[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with (
        FlopCounterMode(display=False) as counter,
        torch.autograd.graph.saved_tensors_hooks(remember, lambda x: x),
    ):
        trainer._update(trainer.batch(0))
    n, size = (2048, 64 * 2**20) if device == "cpu" else (8192, 2**30)
    a, c = torch.rand(n, n, device=device), torch.rand(size // 4, device=device)
    operations, traffic = counter.get_total_flops(), 4 * sum(saved.values())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    speed = 2 * n**3 / fastest(lambda: a @ a, device)
    bandwidth = 2 * size / fastest(lambda: c.clone(), device)
    return {
        "operations": operations,
        "bytes": traffic,
        "operations_a_second": speed,
        "bytes_a_second": bandwidth,
        "milliseconds_of_operations": 1000 * operations / speed,
        "milliseconds_of_bytes": 1000 * traffic / bandwidth,
    }


def profile(config: Config, dataset: Dataset, device: str, steps: int = 4) -> list[dict]:
    """The GPU kernels of a step, without compiled layers: name, calls and microseconds."""
    trainer = Eager(replace(config, steps=1), dataset, device)
    with measuring():
        for step in range(WARM_UP):
            trainer.step(step)
        wait(device)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            for step in range(steps):
                trainer.step(WARM_UP + step)
            wait(device)
    kernels = [
        {
            "name": event.key[:140],
            "calls": event.count / steps,
            "microseconds": round(event.self_device_time_total / steps, 2),
        }
        for event in profiler.key_averages()
        if event.self_device_time_total > 0  # the others are calls on the host
    ]
    return sorted(kernels, key=lambda kernel: -kernel["microseconds"])


def work(config: Config, device: str, steps: int, blocks: int, barrier: Any, speeds: Any) -> None:
    """One of several runs: blocks of steps that begin when all are there; puts their speeds."""
    torch.set_num_threads(1)
    trainer = Trainer(config, load_dataset(config.dataset, progress=False), device)
    for step in range(WARM_UP):
        trainer.step(step)
    wait(device)
    for block in range(blocks):
        barrier.wait()
        begin = time.perf_counter()
        for step in range(steps):
            trainer.step(WARM_UP + block * steps + step)
        wait(device)
        speeds.put((block, steps / (time.perf_counter() - begin)))


def together(config: Config, device: str, count: int, steps: int, blocks: int) -> float:
    """The training steps a second of so many runs at once, each in a process, together."""
    context = multiprocessing.get_context("spawn")
    barrier, speeds = context.Barrier(count), context.Queue()
    arguments = (config, device, steps, blocks, barrier, speeds)
    workers = [context.Process(target=work, args=arguments) for _ in range(count)]
    for worker in workers:
        worker.start()
    total = [0.0] * blocks
    for _ in range(count * blocks):
        block, speed = speeds.get()
        total[block] += speed
    for worker in workers:
        worker.join()
    return max(total)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--variants", nargs="+", default=["D", "S"], choices=VARIANTS)
    parser.add_argument("--blocks", type=int, nargs="+", default=[3, 12], help="values of m")
    parser.add_argument("--repeat", type=int, default=3, help="blocks of timed steps")
    parser.add_argument("--steps", type=int, default=20, help="timed steps in a block")
    parser.add_argument("--together", type=int, nargs="*", default=[1, 2], help="runs at once")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--profile", type=Path, metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    dataset = load_dataset(args.dataset, progress=False)
    info = environment(device)
    about = {"name": dataset.name, "fingerprint": dataset.fingerprint}
    if args.profile:
        variant, blocks = args.variants[0], args.blocks[0]
        config = Config(variant, blocks, dataset=args.dataset).resolved(len(dataset.train_images))
        content = {
            "command": command(),
            "environment": info,
            "dataset": about,
            "variant": variant,
            "blocks": blocks,
            "kernels": profile(config, dataset, device),
        }
        return write_json(args.profile, content)
    print(f"{info['hardware']}, {args.threads} threads, PyTorch {info['torch']}, {dataset.name}")
    print(f"best of {args.repeat} blocks of {args.steps} steps, batch {Config().batch_size}\n")
    results: list[dict] = []
    several: list[dict] = []

    def save() -> None:
        content = {
            "command": command(),
            "environment": info,
            "dataset": about,
            "repeat": args.repeat,
            "steps": args.steps,
            "results": results,
            "together": several,
        }
        if args.out:
            write_json(args.out, content)

    for blocks in args.blocks:
        for variant in args.variants:
            config = Config(variant, blocks, dataset=args.dataset)
            config = config.resolved(len(dataset.train_images))
            with measuring():  # for all loops: cuDNN keeps an algorithm that one loop has taken
                rows = compare(config, dataset, device, args.repeat, args.steps)
            least = yardsticks(config, dataset, device)
            results.append(
                {"variant": variant, "blocks": blocks, "rows": rows, "yardsticks": least}
            )
            save()
            print(f"{VARIANTS[variant]}, m = {blocks}")
            print(f"  {'loop':<24}{'ms a step':>10}{'images/s':>10}{'times':>7}{'loss':>8}")
            for row in rows:
                print(
                    f"  {row['loop']:<24}{row['milliseconds']:>10.2f}"
                    f"{row['images_a_second']:>10,.0f}{row['times_the_common']:>7.2f}"
                    f"{row['loss']:>8.3f}"
                )
            print(
                f"  yardsticks: {least['operations'] / 1e9:.1f} GFLOP in "
                f"{least['milliseconds_of_operations']:.2f} ms, {least['bytes'] / 1e6:,.0f} MB in "
                f"{least['milliseconds_of_bytes']:.2f} ms\n",
                flush=True,
            )
    config = Config("S", min(args.blocks), dataset=args.dataset).resolved(len(dataset.train_images))
    for count in args.together:
        speed = together(config, device, count, args.steps, args.repeat)
        several.append({"runs": count, "steps_a_second": speed})
        save()
        print(f"{count} runs of ResNet-S, m = {config.blocks}, at once: {speed:.2f} steps/s")


if __name__ == "__main__":
    main()
