"""The training of Sect. 4: one loop for CPU and GPU, that can be stopped and gone on with.

All randomness of an epoch (the order of the images, their augmentation) is drawn at its start, on
the CPU, from a generator seeded by the seed of the run and the number of the epoch. Nothing but
weights and momenta needs saving, and a run that was stopped ends with the same weights as one that
was not.

What makes the loop fast, with the same experiment: the data set lies on the device as bytes;
images are cropped and flipped there; features lie in memory with their channels side by side
(``channels_last``), which periodic padding keeps; between two evaluations the host waits for
nothing; on a GPU the whole step is one CUDA graph, whose layers are compiled in a long training.
"""

import hashlib
import time
from dataclasses import replace
from functools import lru_cache
from math import cos, isfinite, pi, sqrt
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from tqdm.auto import tqdm

from forward_stability.constraint import constrain, initialise_, lift, plain_weights, sensitivity
from forward_stability.errors import InputError
from forward_stability.experiments.config import Config
from forward_stability.experiments.cuda_graph import Graphed
from forward_stability.experiments.data import PAD, Dataset, augment, load_dataset, scale
from forward_stability.experiments.device import choose_device, warn_if_slow
from forward_stability.experiments.evaluation import accuracy, predict
from forward_stability.experiments.provenance import environment
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import user_path, write_json
from forward_stability.layers import PeriodicConv2d, ResidualD
from forward_stability.models import Network, load_state, project_
from forward_stability.spectral import trained_weight

COMPILE_FROM = 40_000
"""The steps of a training from which compiling its layers on a GPU pays.

On an H200 it takes half a minute and saves 0.8 of the 3 ms of a step with m = 3. Chapter 13.
"""


def generator(seed: int, purpose: str, index: int) -> torch.Generator:
    """A generator of random numbers that depends on nothing but its arguments."""
    key = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))


def parameter_groups(network: Network, alpha: float) -> list[dict[str, Any]]:
    r"""The parameters, grouped by weight decay, so that the decay is the gradient of Table 1.

    :math:`\alpha/2 \, \|K\|^2` has the gradient αK. For ResNet-D, Table 1 prints
    :math:`\alpha \|K\|^2`, without the 1/2, for the convolution, the pooling layers and the fully
    connected layer: twice the decay. Biases and batch normalisation are not regularised.

    Source: Table 1 and Eq. 3. Chapter 13.
    """
    double = 2.0 if network.variant == "D" else 1.0
    decay: dict[int, float] = {}
    for layer in network.layers:
        factor = 1.0 if isinstance(layer, ResidualD) else double
        for module in layer.modules():
            if isinstance(module, PeriodicConv2d | nn.Linear):
                decay[id(trained_weight(module))] = factor * alpha
    groups: dict[float, list[Tensor]] = {}
    for parameter in network.parameters():
        groups.setdefault(decay.get(id(parameter), 0.0), []).append(parameter)
    return [{"params": params, "weight_decay": wd} for wd, params in sorted(groups.items())]


def learning_rate(config: Config, step: int) -> float:
    """The learning rate of a step: divided by 10 after every ``decay_every`` steps (Sect. 4).

    With the schedule "one-cycle" it rises in a line for 15 % of the steps and then falls along half
    a cosine, to almost 0 in the last. Source: Smith & Topin (2019). Chapter 15.
    """
    if config.beyond.schedule == "one-cycle":
        share, rise = (step + 1) / (config.steps + 1), 0.15
        if share < rise:
            return config.learning_rate * share / rise
        return config.learning_rate * (1 + cos(pi * (share - rise) / (1 - rise))) / 2
    return config.learning_rate * 0.1 ** (step // (config.decay_every or config.steps))


def check_batches(config: Config, dataset: Dataset) -> None:
    """Raise InputError if a batch normalisation would see a single number of each channel.

    It has no variance then. The last map has a single pixel if the images have at most 4x4, or 8x8
    if they are halved or unshuffled.
    """
    images, largest = len(dataset.train_images), max(dataset.train_images.shape[2:])
    alone = images % config.batch_size == 1 or config.batch_size == 1
    pixels = 4 if config.beyond.images == "full" else 8
    if alone and largest <= pixels and not config.beyond.constrained:
        raise InputError(
            f"batch_size {config.batch_size} leaves a mini-batch of one of the {images} images, "
            "which are so small that batch normalisation has a single number of it: choose another"
        )


def new_network(config: Config, dataset: Dataset) -> Network:
    """The network of a configuration, with the initial weights of its seed."""
    shape = dataset.train_images.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Network(**config.architecture(shape, len(dataset.classes)))
        if config.beyond.constrained:
            initialise_(network, (shape[1], shape[2]), config.beyond.initialisation)
    network.get_buffer("mean").copy_(dataset.mean)
    if config.beyond.constrained:
        constrain(network, (shape[1], shape[2]), config.beyond.pooling_bound)
    if config.beyond.lift:
        lift(network, config.beyond.lift)
    return network


def score_scale(config: Config, network: Network, size: tuple[int, int]) -> float:
    """What the scores are divided by in the loss: the constant of Theorem 6 where it is imposed.

    So the temperature and the margin are distances, whatever the head and the bound of the
    pooling filters are: an input moved by r changes a scaled score by at most r.
    """
    constrained = config.beyond.constrained
    return sensitivity(network, size, config.beyond.pooling_bound) if constrained else 1.0


def margin_loss(y: Tensor, labels: Tensor, temperature: float, margin: float) -> Tensor:
    r"""The mean cross-entropy of :math:`(y - \sqrt 2\,ρ\, e_t)/T`, where t is the right class.

    With a classifier of norm 1, :math:`y_t - y_j > \sqrt 2\,ρ` for all j certifies the distance ρ.

    Args:
        y: scaled scores, shape ``(batch, classes)``.
        labels: t, shape ``(batch,)``.
        temperature, margin: T and ρ. T = 1 and ρ = 0 is the loss of Sect. 4.

    Source: Prach & Lampert (2022), with ρ = 1 and T = 1/4. Chapter 15.
    """
    if margin:
        y = y - sqrt(2) * margin * F.one_hot(labels, y.shape[1]).to(y)
    return F.cross_entropy(y / temperature, labels)


class Trainer:
    """Network and optimiser of a run, and the step they take.

    Args:
        config: what and how; it is resolved for the data (:meth:`Config.resolved`).
        dataset: the data.
        device: such as "cpu" or "cuda".
    """

    def __init__(self, config: Config, dataset: Dataset, device: str) -> None:
        config = config.resolved(len(dataset.train_images))
        self.config, self.device, self.flips = config, device, dataset.flips
        self.images = dataset.train_images.to(device)
        self.labels = dataset.train_labels.to(device)
        self.border = dataset.border.to(device)
        network = new_network(config, dataset).to(device)
        height, width = dataset.train_images.shape[2:]
        self.scale = score_scale(config, network, (height, width))
        gpu = device.startswith("cuda")
        self.network = network.to(memory_format=torch.channels_last).train()
        self.layers: list[nn.Module] = list(self.network.layers)
        if gpu and config.steps >= COMPILE_FROM and not config.beyond.constrained:
            self.layers = [torch.compile(layer, dynamic=False) for layer in self.layers]  # type: ignore
        self.learning_rate = torch.zeros((), device=device)  # a tensor: graphs read it anew
        self.optimiser = torch.optim.SGD(
            parameter_groups(self.network, config.alpha),
            lr=self.learning_rate,
            momentum=config.momentum,
            fused=True,
        )
        self.optimiser.register_step_post_hook(lambda *_: project_(self.network))
        self.batches = -(-len(self.images) // config.batch_size)
        self.update = Graphed(self._update) if gpu else self._update
        self.draw = lru_cache(maxsize=1)(self._draw)

    def _draw(self, epoch: int) -> Tensor:
        """All random numbers of an epoch, shape ``(images, 4)``: index, shifts, flip."""
        n, random = len(self.images), generator(self.config.seed, "epoch", epoch)
        order = torch.randperm(n, generator=random)
        shifts = torch.randint(2 * PAD + 1, (n, 2), generator=random)
        flips = torch.randint(2 if self.flips else 1, (n, 1), generator=random)
        return torch.cat([order[:, None], shifts, flips], dim=1).to(self.device)

    def batch(self, step: int) -> Tensor:
        """The images of a step and their augmentation, shape ``(batch, 4)``, on the device.

        Each epoch goes through all images once. The columns are the index of the image, the row
        and the column where its crop begins, and 1 where it is flipped.
        """
        epoch, part = divmod(step, self.batches)
        start = part * self.config.batch_size
        return self.draw(epoch)[start : start + self.config.batch_size]

    def scores(self, images: Tensor) -> Tensor:
        """The scores of the network, by its compiled layers if there are any.

        An epoch's last mini-batch may be smaller: it does without, since each size is compiled
        anew.
        """
        whole = len(images) == self.config.batch_size
        x = self.network.centred(images)
        for layer in self.layers if whole else self.network.layers:
            x = layer(x)
        return x

    def _update(self, batch: Tensor) -> Tensor:
        index, shifts, flips = batch[:, 0], batch[:, 1:3], batch[:, 3].bool()
        images = augment(scale(self.images[index]), self.border, shifts, flips)
        autocast = torch.autocast(
            images.device.type,
            torch.bfloat16,
            enabled=self.config.precision == "bfloat16",
            cache_enabled=False,  # each weight is used once, and graphs must not share casts
        )
        with autocast, parametrize.cached():
            scores = self.scores(images)
        temperature, margin = self.config.beyond.temperature, self.config.beyond.margin
        y = scores.float() / self.scale
        loss = margin_loss(y, self.labels[index], temperature, margin)
        self.optimiser.zero_grad()
        (temperature * loss).backward()
        self.optimiser.step()
        return loss.detach()

    def step(self, step: int) -> Tensor:
        """One step of the optimiser; returns the mean cross-entropy of the mini-batch."""
        self.learning_rate.fill_(learning_rate(self.config, step))
        return self.update(self.batch(step))

    def state(self) -> dict[str, Tensor]:
        """Weights, statistics and momenta: all that the next step depends on."""
        momenta = {
            f"momentum.{name}": self.optimiser.state[parameter]["momentum_buffer"]
            for name, parameter in self.network.named_parameters()
            if "momentum_buffer" in self.optimiser.state[parameter]
        }
        return {f"network.{k}": v for k, v in self.network.state_dict().items()} | momenta

    def finite(self) -> bool:
        """Whether all numbers of the state are."""
        return bool(torch.stack([torch.isfinite(v).all() for v in self.state().values()]).all())

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state.

        Raises:
            InputError: if it is that of another network.
        """
        prefix = "network."
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        load_state(self.network, weights)
        for name, parameter in self.network.named_parameters():
            if (momentum := state.get(f"momentum.{name}")) is not None:
                if momentum.shape != parameter.shape:
                    raise InputError(f"the momentum of {name} has another shape")
                buffer = torch.empty_like(parameter).copy_(momentum)
                self.optimiser.state[parameter]["momentum_buffer"] = buffer


def train(
    config: Config,
    folder: Path,
    *,
    dataset: Dataset | None = None,
    device: str = "auto",
    progress: bool = False,
) -> Run:
    """Train a network into a run folder; goes on where an earlier call was stopped.

    Args:
        config: what and how.
        folder: the run folder.
        dataset: images and labels of one's own, from
            :func:`~forward_stability.experiments.data.from_tensors`, in place of the data set that
            the configuration names.
        device: "auto", "cpu" or "cuda"; a warning says if bfloat16 is slow there.
        progress: show a progress bar.

    Returns:
        the run, done.

    Raises:
        InputError: if data or checkpoint are damaged, the folder holds another run, or training
            diverges; a folder is left only if there is something to go on from.

    Source: Sect. 4. Chapters 8 and 13.
    """
    device = choose_device(device)
    warn_if_slow(config.precision, device)
    if dataset is None:
        dataset = load_dataset(config.dataset, progress=progress)
    config = replace(config, dataset=dataset.name).resolved(len(dataset.train_images))
    check_batches(config, dataset)
    run = Run.create(user_path(folder), config, dataset, device)
    if run.done:
        return run
    try:
        _go_on(run, config, dataset, device, progress)
    except InputError:
        if not run.history and not run.checkpoints:
            run.discard()
        raise
    return run


def _go_on(run: Run, config: Config, dataset: Dataset, device: str, progress: bool) -> None:
    """Train from the last checkpoint, or from the start, to the end."""
    trainer = Trainer(config, dataset, device)
    first, history = 0, []
    if (found := run.load_checkpoint()) is not None:
        state, first = found
        try:
            trainer.restore(state)
        except InputError as error:
            raise InputError(f"{run.folder}: the checkpoint after step {first}: {error}") from None
        history = [entry for entry in run.history if entry["step"] <= first]
    seconds = history[-1]["seconds"] if history else 0.0
    losses, start = [], time.perf_counter()
    bar = tqdm(
        range(first, config.steps),
        initial=first,
        total=config.steps,
        desc=f"{trainer.network.name} on {dataset.name.split(':')[0]}",
        unit="step",
        disable=not progress,
    )
    for step in bar:
        losses.append(trainer.step(step))
        done = step + 1
        if done % config.evaluate_every and done < config.steps:
            continue
        loss = torch.stack(losses).double().mean().item()
        if not (isfinite(loss) and trainer.finite()):
            raise InputError(
                f"training diverged before step {done} (loss {loss}): lower the learning rate"
            )
        size = 100 if device == "cpu" else 2500
        scores = predict(trainer.network, dataset.test_images, batch_size=size)
        entry = {
            "step": done,
            "epoch": round(done / trainer.batches, 4),
            "loss": loss,
            "learning_rate": learning_rate(config, step),
            "test_accuracy": accuracy(scores, dataset.test_labels),
            "seconds": round(seconds + time.perf_counter() - start, 3),
        }
        history.append(entry)
        losses.clear()
        run.write_history(history)
        if done < config.steps:
            run.save_checkpoint(trainer.state(), done)
        bar.set_postfix(accuracy=f"{100 * entry['test_accuracy']:.2f} %")
    last = history[-1]
    result = {key: last[key] for key in ("step", "loss", "test_accuracy", "seconds")}
    info = run.info | {"environment": environment(device), "result": result}
    write_json(run.folder / "run.json", info)
    run.finish(plain_weights(trainer.network))
