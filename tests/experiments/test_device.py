"""Names of devices, and the processors on which bfloat16 does not pay."""

import warnings

import pytest
import torch

from forward_stability.errors import InputError
from forward_stability.experiments.device import check_device, choose_device, warn_if_slow


@pytest.fixture
def gpus(monkeypatch):
    """Sets how many GPUs PyTorch finds."""

    def found(number):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return found


@pytest.mark.parametrize("name", ["gpu", "mps", "0", "", "cuda:", "cuda:-1", "cuda1", "CPU", "²"])
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match=r"unknown device .*choose auto, cpu or cuda"):
        check_device(name)


def test_a_gpu_that_is_not_there_is_said(gpus):
    gpus(0)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    check_device("cuda:1")  # another machine may have it
    for name in ("cuda", "cuda:1"):
        with pytest.raises(InputError, match=f"device {name}: PyTorch finds no GPU"):
            choose_device(name)
    gpus(2)
    assert [choose_device(name) for name in ("auto", "cuda:1")] == ["cuda", "cuda:1"]
    with pytest.raises(InputError, match="PyTorch finds 2 GPUs, the first is cuda:0"):
        choose_device("cuda:2")


@pytest.mark.parametrize("supported", ["_is_avx512_bf16_supported", "_is_amx_tile_supported", ""])
def test_bfloat16_without_its_instructions_is_said(monkeypatch, supported):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name == supported)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_if_slow("float32", "cpu")
        warn_if_slow("bfloat16", "cuda")
        assert not caught
        warn_if_slow("bfloat16", "cpu")
    assert [str(w.message)[:36] for w in caught] == (
        [] if supported else ["PyTorch finds neither AVX-512-BF16 n"]
    )
