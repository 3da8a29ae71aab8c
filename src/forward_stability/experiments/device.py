"""Where a network runs. Chapter 13."""

import re
import warnings

import torch

from forward_stability.errors import InputError


def check_device(name: str) -> None:
    """Raise InputError unless it is the name of a device: auto, cpu, cuda or cuda:1.

    Whether this machine has the device is another question: see :func:`choose_device`.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise InputError(
            f"unknown device {name!r}: choose auto, cpu or cuda (cuda:1 for the second GPU)"
        )


def choose_device(name: str) -> str:
    """``auto`` is the GPU if there is one, else the CPU.

    Raises:
        InputError: if the name is unknown, or this machine lacks the GPU that is asked for.
    """
    check_device(name)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not there:
            raise InputError(f"device {name}: PyTorch finds no GPU; use cpu")
        if int(name.partition(":")[2] or 0) >= there:
            raise InputError(f"device {name}: PyTorch finds {there} GPUs, the first is cuda:0")
    return name


def warn_if_slow(precision: str, device: str) -> None:
    """Warn if a training in bfloat16 is to run on a processor without its instructions."""
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if precision == "bfloat16" and device == "cpu" and not fast:
        warnings.warn(
            "PyTorch finds neither AVX-512-BF16 nor AMX on this processor: without them bfloat16 "
            "was 15 times slower than float32",
            stacklevel=3,
        )
