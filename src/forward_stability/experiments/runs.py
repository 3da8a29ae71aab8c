"""Folders of trained networks.

A run folder holds ``config.json``, ``run.json`` (data, environment, result), ``history.jsonl`` (a
line an evaluation), the last two ``checkpoint-STEP.safetensors`` while training goes on and
``weights.safetensors`` when it is done. Chapter 13.
"""

import sys
import warnings
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from forward_stability.errors import InputError
from forward_stability.experiments.config import Config
from forward_stability.experiments.data import Dataset, load_dataset
from forward_stability.experiments.provenance import environment, results_root
from forward_stability.experiments.storage import (
    from_json,
    load_tensors,
    read_json,
    save_tensors,
    to_json,
    user_path,
    write_bytes,
    write_json,
)
from forward_stability.models import Network, check_finite, load_state

DATA = {
    "name": str,
    "fingerprint": str,
    "classes": list,
    "image_shape": list,
    "train_images": int,
    "test_images": int,
}
"""What ``run.json`` says of the data, and of which type."""


MEASURED = ("step", "epoch", "loss", "learning_rate", "test_accuracy", "seconds")
"""The numbers of an evaluation in ``history.jsonl``."""


class Run:
    """A run folder.

    Args:
        folder: the folder, or the name of a run that comes with the book.

    Raises:
        InputError: if there is no run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = user_path(folder)
        if not self.folder.is_dir() and (results_root() / folder).is_dir():
            self.folder = results_root() / folder
        if not (self.folder / "config.json").is_file():
            raise InputError(f"{self.folder} is no run folder: it has no config.json")

    @classmethod
    def create(cls, folder: Path, config: Config, dataset: Dataset, device: str) -> "Run":
        """A new run folder, or the one that is there if it has the same configuration and data.

        Raises:
            InputError: if the folder holds something else.
        """
        data = {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "classes": list(dataset.classes),
            "image_shape": list(dataset.train_images.shape[1:]),
            "train_images": len(dataset.train_images),
            "test_images": len(dataset.test_images),
        }
        # config.json is written last: without it, what a killed process left is no run yet.
        found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if not all(name == "run.json" or name.endswith(".tmp") for name in found):
            run = cls(folder)
            for what, found, wanted in (
                ("configuration", run.config.to_dict(), config.to_dict()),
                ("data", run.info["data"], data),
            ):
                different = [key for key in wanted if found.get(key) != wanted[key]]
                if different:
                    key = different[0]
                    raise InputError(
                        f"{folder} holds a run of another {what}: {key} is {found.get(key)!r}, "
                        f"not {wanted[key]!r}; choose another folder"
                    )
            return run
        write_json(folder / "run.json", {"data": data, "environment": environment(device)})
        write_json(folder / "config.json", config.to_dict())
        return cls(folder)

    @cached_property
    def config(self) -> Config:
        """What is trained and how."""
        return Config.from_dict(read_json(self.folder / "config.json", dict))

    @property
    def info(self) -> dict[str, Any]:
        """``data``, ``environment`` and, when the run is done, ``result``.

        Raises:
            InputError: if one of them is missing or of another form.
        """
        path = self.folder / "run.json"
        info = read_json(path, dict)
        data = info.get("data")
        if not isinstance(data, dict) or not isinstance(info.get("environment"), dict):
            raise InputError(f"{path} lacks data or environment: restore it")
        if wrong := [key for key, kind in DATA.items() if not isinstance(data.get(key), kind)]:
            raise InputError(f"{path} lacks {wrong[0]!r} of the data: restore it")
        shape = data["image_shape"]
        if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise InputError(f"{path}: image_shape must be three numbers, got {shape}: restore it")
        return info

    @property
    def done(self) -> bool:
        """Whether training has ended."""
        return (self.folder / "weights.safetensors").is_file()

    @property
    def history(self) -> list[dict[str, Any]]:
        """An entry an evaluation, see :data:`MEASURED`.

        Raises:
            InputError: if a line is not JSON or lacks a number.
        """
        path = self.folder / "history.jsonl"
        if not path.is_file():
            return []
        try:
            entries = [from_json(line) for line in path.read_text("utf-8-sig").splitlines()]
        except ValueError as error:
            raise InputError(f"{path} is not valid JSON ({error}): restore it") from error
        for entry in entries:
            numbers = [entry.get(key) for key in MEASURED] if isinstance(entry, dict) else [None]
            if not all(isinstance(number, int | float) for number in numbers):
                raise InputError(
                    f"{path} has a line that is no evaluation ({entry!r:.40}): restore it"
                )
        return entries

    def write_history(self, entries: list[dict[str, Any]]) -> None:
        """Replace the history, atomically."""
        lines = "".join(to_json(entry) + "\n" for entry in entries)
        write_bytes(self.folder / "history.jsonl", lines.encode())

    @property
    def data_name(self) -> str:
        """The name of the data set; of a folder of images, that of the folder."""
        return Path(self.info["data"]["name"].split(":")[-1]).name

    @property
    def architecture(self) -> dict[str, Any]:
        """The arguments of :class:`~forward_stability.models.Network`."""
        data = self.info["data"]
        return self.config.architecture(data["image_shape"], len(data["classes"]))

    def save(self, filename: str, tensors: dict[str, Tensor], **metadata: Any) -> None:
        """Write tensors to a file of the folder, marked with the architecture."""
        metadata["architecture"] = self.architecture
        save_tensors(self.folder / filename, tensors, metadata)

    def load(self, filename: str, mend: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read tensors written by :meth:`save`.

        Raises:
            InputError: if the file is missing, damaged, or of another architecture.
        """
        path = self.folder / filename
        tensors, metadata = load_tensors(path, mend)
        found = metadata.get("architecture")
        if found != self.architecture:
            raise InputError(
                f"{path} belongs to another network: {found}, not {self.architecture}: {mend}"
            )
        return tensors, metadata

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints that are there, the newest first."""
        return sorted(self.folder.glob("checkpoint-*.safetensors"), reverse=True)

    def save_checkpoint(self, state: dict[str, Tensor], step: int) -> None:
        """Write a checkpoint after so many steps; this one and the one before it are kept."""
        filename = f"checkpoint-{step:08d}.safetensors"
        self.save(filename, state, step=step, config=self.config.to_dict())
        for old in self.checkpoints[2:]:
            old.unlink(missing_ok=True)

    def load_checkpoint(self) -> tuple[dict[str, Tensor], int] | None:
        """The state and the step of the newest checkpoint that is sound, None if there is none.

        Warns if a newer one was refused.

        Raises:
            InputError: if there are checkpoints and none is sound.
        """
        refused = None
        for path in self.checkpoints:
            try:
                state, metadata = self.load(path.name, "delete it to start again")
                if Config.from_dict(metadata.get("config", {})) != self.config:
                    raise InputError(
                        f"{path} is of another configuration: {metadata.get('config')}, "
                        f"not {self.config.to_dict()}: delete it to start again"
                    )
                step = metadata.get("step")
                if not isinstance(step, int) or not 0 < step < self.config.steps:
                    raise InputError(
                        f"{path} is after step {step} of {self.config.steps}: "
                        "delete it to start again"
                    )
            except InputError as error:
                refused = refused or error
                continue
            if refused:
                text = str(refused).removesuffix(": delete it to start again")
                warnings.warn(f"{text}; going on from step {step:,} instead", stacklevel=3)
            return state, step
        if refused:
            raise refused
        return None

    def discard(self) -> None:
        """Remove a run that has come to nothing, so that its folder can be used again."""
        for name in ("config.json", "run.json"):  # without config.json it is no run
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def finish(self, weights: dict[str, Tensor]) -> None:
        """Write the weights of the trained network; checkpoints are not needed any more."""
        self.save("weights.safetensors", weights)
        for path in [*self.checkpoints, *self.folder.glob(".*.tmp")]:
            path.unlink(missing_ok=True)

    def dataset(self) -> Dataset:
        """The data set that the network is trained on.

        Raises:
            InputError: if it is not at hand, or the one at hand is another.
        """
        name, expected = self.config.dataset, self.info["data"]["fingerprint"]
        dataset = load_dataset(name, progress=sys.stderr.isatty())
        if dataset.fingerprint != expected:
            raise InputError(
                f"{name} is not the data that {self.folder} was trained on: fingerprint "
                f"{dataset.fingerprint[:12]}, expected {expected[:12]}"
            )
        return dataset

    def network(self) -> Network:
        """The trained network, in evaluation mode, on the CPU.

        Raises:
            InputError: if the run is not done, or its weights are damaged, not finite or of
                another network.
        """
        mend = f"train it with `forward-stability train --out {self.folder}`"
        tensors, _ = self.load("weights.safetensors", mend)
        network = Network(**self.architecture)
        try:
            load_state(network, tensors)
            check_finite(network)
        except InputError as error:
            raise InputError(f"{self.folder / 'weights.safetensors'}: {error}") from None
        return network.eval()
