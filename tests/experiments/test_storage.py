"""Files are whole or absent, and damage is noticed."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from forward_stability.errors import InputError
from forward_stability.experiments import storage

TENSORS = {
    "a": torch.arange(6, dtype=torch.uint8).reshape(2, 3),
    "b": torch.tensor(2.5),
    "c": torch.randn(4, 4).T,
    "empty": torch.zeros(0, 3),
}


def full_disk(descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_tensors_and_metadata_come_back(tmp_path):
    path = tmp_path / "deep" / "x.safetensors"
    storage.save_tensors(path, TENSORS, {"step": 3, "nested": {"m": [1, 2]}})
    tensors, metadata = storage.load_tensors(path, "")
    assert metadata == {"step": 3, "nested": {"m": [1, 2]}}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[k], TENSORS[k]) for k in TENSORS)
    assert os.listdir(path.parent) == ["x.safetensors"]


def test_the_same_tensors_and_metadata_are_the_same_bytes():
    metadata = {"name": "ä", "step": 3}
    assert len({storage.tensors_to_bytes(TENSORS, metadata) for _ in range(30)}) == 1


def test_threads_that_write_one_file_do_not_disturb_each_other(tmp_path):
    path, content = tmp_path / "x", bytes(100_000)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: storage.write_bytes(path, content), range(64)))
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["x"]


def test_checksum_sees_names_shapes_types_and_values():
    x = torch.arange(6.0)
    sums = [
        storage.checksum(t)
        for t in ({"a": x}, {"b": x}, {"a": x.view(2, 3)}, {"a": x.int()}, {"a": x + 1e-6})
    ]
    assert len(set(sums)) == 5
    assert storage.checksum({"a": x, "b": x + 1}) == storage.checksum({"b": x + 1, "a": x})


@pytest.mark.parametrize("cut", [0, 7, 100, -1])
def test_a_cut_file_is_refused(tmp_path, cut):
    path = tmp_path / "x.safetensors"
    storage.save_tensors(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"x\.safetensors .* is damaged .* delete it"):
        storage.load_tensors(path, "delete it")


def test_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    storage.save_tensors(path, TENSORS, {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"was altered: SHA-256 .* expected .* delete it"):
        storage.load_tensors(path, "delete it")


def test_a_pickle_is_refused_and_not_run(tmp_path):
    path = tmp_path / "x.safetensors"
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(InputError, match="is damaged or no file of ours"):
        storage.load_tensors(path, "delete it")


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    storage.write_json(path, {"old": 1})
    monkeypatch.setattr(storage.os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"cannot write .*x\.json: No space left on device"):
        storage.write_json(path, {"new": 2})
    assert storage.read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_has_finite_numbers_only(tmp_path, value):
    path = tmp_path / "x.json"
    storage.write_json(path, {"old": 1})
    with pytest.raises(InputError, match="not finite and cannot be written"):
        storage.write_json(path, {"a": [value]})
    with pytest.raises(InputError, match="not finite and cannot be written"):
        storage.save_tensors(tmp_path / "x.safetensors", {}, {"a": value})
    assert storage.read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["x.json"]
    path.write_text(json.dumps({"a": value}))
    with pytest.raises(InputError, match=r"x\.json is not valid JSON .*is not finite"):
        storage.read_json(path)


@pytest.mark.parametrize("text", ["1e999", "[" * 100_000, "\x00", '"\\ud800'])
def test_json_that_python_would_read_otherwise_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.json is not valid JSON"):
        storage.read_json(path)


def test_bad_json_is_refused(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match=r"x\.json is missing"):
        storage.read_json(path)
    path.write_text("{")
    with pytest.raises(InputError, match=r"x\.json is not valid JSON"):
        storage.read_json(path)
