r"""A trained network as one compact file, for the engine that evaluates it in a browser.

The file is a safetensors file. Its metadata say what the layers are (those of
:mod:`~forward_stability.folding`, batch normalisation folded in) and give constants proven for
exactly the numbers in the file. A filter has b = 8 or 16 bits a weight: its row for output
channel o is stored as integers q with

.. math:: K_{o} = s_o \, q_{o}, \qquad |q| \le L = 2^{b - 1} - 1,

so that a weight is off by at most 1/(2L) of the largest weight of its row. Biases, scales and
diagonals are float32. ``live/network.js`` reads the file. Chapters 12 and 14.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from forward_stability.certificates import best_constants
from forward_stability.errors import InputError
from forward_stability.experiments.runs import Run
from forward_stability.experiments.storage import tensors_to_bytes
from forward_stability.graph import fold
from forward_stability.layer import Folded, Size
from forward_stability.models import Network

INTEGERS = {8: torch.int8, 16: torch.int16}
"""What a weight is stored as, by its bits."""


@dataclass(frozen=True)
class Export:
    """A network as it is in the file.

    Attributes:
        layers: with the rounded weights, in float64.
        tensors: as stored.
        header: ``name``, ``variant``, ``classes``, the ``shape`` (channels, height, width) of an
            image, ``layers`` and ``stages``. A stage says that x^n, with n its ``layer``, obeys
            ‖x^n − y^n‖ ≤ ``bound`` ‖x^0 − y^0‖ for any two images.
    """

    layers: list[Folded]
    tensors: dict[str, Tensor]
    header: dict[str, Any]

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return tensors_to_bytes(self.tensors, self.header)


def export_run(run: Run, bits: int = 16) -> Export:
    """The trained network of a run, with 8 or 16 bits a weight.

    Raises:
        InputError: if the run is not done, its files are damaged, or its weights are no numbers.
    """
    weights = run.folder / "weights.safetensors"
    changed = weights.stat().st_mtime_ns if weights.is_file() else 0
    return _export(run.folder.resolve(), changed, bits)


@lru_cache(maxsize=8)
def _export(folder: Path, _changed: int, bits: int) -> Export:
    """The export of a run, once for each state of its weights."""
    run = Run(folder)
    data = run.info["data"]
    return export_network(run.network(), tuple(data["image_shape"][1:]), data["classes"], bits)


def export_network(network: Network, size: Size, classes: Sequence[str], bits: int = 16) -> Export:
    """A network in evaluation mode.

    Args:
        network: of any variant; it is not changed.
        size: the height and width of an image.
        classes: their names.
        bits: of a weight, 8 or 16.

    Raises:
        InputError: if a weight or a statistic is not finite.
    """
    mean = network.get_buffer("mean").float()
    made = export_layers(fold(network), mean, bits)
    header = {
        "name": network.name,
        "variant": network.variant,
        "classes": list(classes),
        "shape": [network.channels, *size],
        "stages": _stages(made.layers, size),
    }
    return replace(made, header=made.header | header)


def export_layers(layers: Sequence[Folded], mean: Tensor, bits: int = 16) -> Export:
    """Folded layers; of the header there are only ``layers``.

    Args:
        layers: of any kinds that the engine knows.
        mean: is subtracted from an image, one number a channel.
        bits: of a weight, 8 or 16.

    Raises:
        InputError: if a weight is not finite.
    """
    tensors, rounded, kinds = {"mean": mean}, [], []
    for index, layer in enumerate(layers):
        stored, values = _round(layer, bits)
        for name, tensor in stored.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise InputError(f"layer {index} has weights that are no numbers: train it again")
            tensors[f"{index}.{name}"] = tensor
        rounded.append(values)
        kinds.append({"kind": layer.kind, **layer.options})
    return Export(rounded, tensors, {"layers": kinds})


def _round(layer: Folded, bits: int) -> tuple[dict[str, Tensor], Folded]:
    """The tensors of a layer as stored, and the layer that they make."""
    stored, values = {}, {}
    most = 2 ** (bits - 1) - 1
    for field in fields(layer):
        tensor = getattr(layer, field.name)
        if not isinstance(tensor, Tensor):
            continue
        if tensor.dim() == 1:
            stored[field.name] = tensor.float()
            values[field.name] = stored[field.name].double()
            continue
        rows = tensor.flatten(1)
        scale = (rows.abs().amax(dim=1) / most).float()
        scale = torch.where(scale == 0, torch.ones_like(scale), scale)
        whole = (rows / scale.double()[:, None]).round().clamp(-most, most).to(INTEGERS[bits])
        stored |= {field.name: whole.reshape(tensor.shape), f"{field.name}.scale": scale}
        values[field.name] = (whole.double() * scale.double()[:, None]).reshape(tensor.shape)
    return stored, replace(layer, **values)


def _stages(layers: list[Folded], size: Size) -> list[dict[str, Any]]:
    """A proven constant for the features after each stage, and for the scores."""
    ends = [n for n, layer in enumerate(layers) if n and layer.resamples] + [len(layers)]
    names = [*(f"stage {number}" for number in range(1, len(ends))), "scores"]
    constants = best_constants(layers, size)
    return [
        {"name": name, "layer": n, "bound": constants[n - 1]}
        for name, n in zip(names, ends, strict=True)
    ]
