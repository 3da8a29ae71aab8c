"""Data sets that come through torchvision, from a local host that may break off."""

import gzip
import hashlib
import http.server
import io
import pickle
import struct
import tarfile
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from forward_stability.errors import InputError
from forward_stability.experiments import data
from forward_stability.experiments.download import SETS, fetch

RANDOM = np.random.default_rng(0)


def idx(array):
    """An array as a gzipped IDX file, the format of MNIST."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return gzip.compress(header + array.tobytes(), mtime=0)


def mnist_archives():
    arrays = {}
    for split, n in (("train", 20), ("t10k", 10)):
        arrays[f"{split}-images-idx3-ubyte.gz"] = RANDOM.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"{split}-labels-idx1-ubyte.gz"] = RANDOM.integers(0, 10, n, np.uint8)
    return arrays, {name: idx(array) for name, array in arrays.items()}


@pytest.fixture
def host():
    """A local host of files that understands Range, and breaks off where it is told to."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = self.server.files.get(self.path.lstrip("/"))
            if content is None:
                return self.send_error(404)
            ranged = self.headers.get("Range")
            start = int(ranged.removeprefix("bytes=").rstrip("-")) if ranged else 0
            if start >= len(content):
                return self.send_error(416)
            self.server.requests.append((self.path, start))
            if self.server.raw:
                self.close_connection = True
                return self.wfile.write(self.server.raw)
            self.send_response(206 if ranged else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : start + self.server.limit])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests, server.limit, server.raw = {}, [], 1 << 30, b""
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _data_root(root):
    """Nothing is read from or written to the folder of the user."""


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_mnist_comes_through_torchvision(name, host, monkeypatch):
    arrays, host.files = mnist_archives()
    sums = [(file, hashlib.md5(content).hexdigest()) for file, content in host.files.items()]
    monkeypatch.setattr(SETS[name].dataset, "resources", sums)
    with pytest.raises(InputError, match=f"{name} is not here .* run `forward-stability data"):
        data.load_dataset(name)
    found = data.load_dataset(name, download=True, mirror=host.url, progress=False)
    assert torch.equal(
        found.train_images[:, 0], torch.from_numpy(arrays["train-images-idx3-ubyte.gz"])
    )
    assert found.test_labels.tolist() == arrays["t10k-labels-idx1-ubyte.gz"].tolist()
    assert len(found.classes) == 10
    requests = len(host.requests)
    assert data.load_dataset(name).fingerprint == found.fingerprint
    assert len(host.requests) == requests == 4


def test_mnist_that_is_already_unpacked_is_used(root):
    arrays, files = mnist_archives()
    raw = root / "torchvision" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file, content in files.items():
        (raw / file.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    found = data.load_dataset("fashion-mnist")
    pixels = torch.from_numpy(arrays["t10k-images-idx3-ubyte.gz"])
    assert torch.equal(found.test_images[:, 0], pixels)

    (root / "fashion-mnist.safetensors").unlink()
    images = raw / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"FashionMNIST/raw is damaged: delete the folder and run"):
        data.load_dataset("fashion-mnist")


def cifar_archive(cls, monkeypatch):
    """A small archive of CIFAR's layout, with its checksums put into the torchvision class."""
    fine = cls.__name__ == "CIFAR100"
    label = "fine_labels" if fine else "labels"
    pixels, labels, files = [], [], {}
    for file, _ in cls.train_list + cls.test_list:
        pixels.append(RANDOM.integers(0, 256, (2, 3072), np.uint8))
        labels.append([0, 1])
        files[file] = pickle.dumps({"data": pixels[-1], label: labels[-1]}, protocol=2)
    key = cls.meta["key"]
    files[cls.meta["filename"]] = pickle.dumps({key: [f"c{i}" for i in range(10)]}, protocol=2)
    md5 = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}
    monkeypatch.setattr(cls, "train_list", [[f, md5[f]] for f, _ in cls.train_list])
    monkeypatch.setattr(cls, "test_list", [[f, md5[f]] for f, _ in cls.test_list])
    monkeypatch.setattr(cls, "meta", cls.meta | {"md5": md5[cls.meta["filename"]]})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{cls.base_folder}/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(cls, "tgz_md5", hashlib.md5(buffer.getvalue()).hexdigest())
    return buffer.getvalue(), np.concatenate(pixels), [x for part in labels for x in part]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_comes_through_torchvision_and_a_broken_download_goes_on(
    name, host, root, monkeypatch
):
    cls = SETS[name].dataset
    content, pixels, labels = cifar_archive(cls, monkeypatch)
    host.files, host.limit = {cls.filename: content}, 1000
    with pytest.raises(InputError, match=r"broke off \(after 1,000 of [\d,]+ bytes\); run"):
        data.load_dataset(name, download=True, mirror=host.url, progress=False)
    host.limit = 1 << 30
    found = data.load_dataset(name, download=True, mirror=host.url, progress=False)
    assert [start for _, start in host.requests] == [0, 1000]
    images = torch.cat([found.train_images, found.test_images])
    assert torch.equal(images, torch.from_numpy(pixels).view(-1, 3, 32, 32))
    assert torch.cat([found.train_labels, found.test_labels]).tolist() == labels
    assert found.classes[3] == "c3"
    assert found.flips
    # The same images as files in folders, in another order, are the same data.
    for split in ("train", "test"):
        parts = getattr(found, f"{split}_images"), getattr(found, f"{split}_labels")
        for k, (image, label) in enumerate(zip(*parts, strict=True)):
            folder = root / "files" / split / f"c{label}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
            Image.fromarray(pixels).save(folder / f"{99 - k}.png")
    files = data.load_dataset("imagefolder:files", progress=False)
    assert files.fingerprint == found.fingerprint


def test_a_damaged_archive_is_named_with_both_checksums(root):
    path = root / "torchvision" / "cifar-10-python.tar.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    found = hashlib.md5(b"half").hexdigest()
    expected = "c58f30108f718f92721af3b95e74349a"
    message = (
        rf"tar\.gz \(4 bytes\) is damaged: MD5 {found}, expected {expected}: delete it and run"
    )
    with pytest.raises(InputError, match=message):
        data.load_dataset("cifar10")


def test_a_host_without_the_file_is_an_error_with_a_way_out(host):
    with pytest.raises(InputError, match=r"cannot download .* 404.*try --mirror"):
        data.load_dataset("cifar10", download=True, mirror=host.url, progress=False)


CONTENT = bytes(range(256)) * 8
MD5 = hashlib.md5(CONTENT).hexdigest()
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("raw", "come", "message"),
    [
        (OK + b"Transfer-Encoding: chunked\r\n\r\n800\r\n" + CONTENT[:500], 500, "broke off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 0, "broke off"),
        (OK + b"Content-Length: 2048\r\n\r\n" + CONTENT[:500], 500, "after 500 of 2,048 bytes"),
        (OK + b"Content-Length: 9999\r\n\r\n" + CONTENT, 2048, "after 2,048 of 9,999 bytes"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 0, "broke off"),
        (b"\r\n\r\n", 0, "broke off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", 0, "broke off"),
        (b"HTTP/1.1 200 " + b"x" * 70_000, 0, "broke off"),
    ],
)
def test_a_host_that_misbehaves_is_said_in_a_line_and_what_has_come_is_kept(
    host, tmp_path, raw, come, message
):
    path = tmp_path / "file"
    host.files, host.raw = {"file": CONTENT}, raw
    with pytest.raises(InputError, match=message) as error:
        fetch(f"{host.url}/file", path, MD5, progress=False)
    assert "run the command again to go on, or try --mirror" in str(error.value)
    part = tmp_path / "file.part"
    assert (part.read_bytes() if part.exists() else b"") == CONTENT[:come]
    host.raw = b""
    fetch(f"{host.url}/file", path, MD5, progress=False)
    assert path.read_bytes() == CONTENT
    assert not part.exists()


@pytest.mark.parametrize("length", [b"many", b"-5", b"1e3", b""])
def test_a_length_that_is_no_number_is_ignored(host, tmp_path, length):
    host.files = {"file": CONTENT}
    host.raw = OK + b"Content-Length: " + length + b"\r\n\r\n" + CONTENT
    fetch(f"{host.url}/file", tmp_path / "file", MD5, progress=False)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_another_part_than_was_asked_for_is_not_appended(host, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:500])
    host.files = {"file": CONTENT}
    host.raw = b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-9/2048\r\n\r\n" + CONTENT[:10]
    with pytest.raises(InputError, match="another part than was asked for; try --mirror"):
        fetch(f"{host.url}/file", tmp_path / "file", MD5, progress=False)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:500]
