"""Data sets, their errors, augmentation and the corruptions of Eq. 28."""

import gzip
import hashlib
import http.server
import io
import pickle
import shutil
import struct
import tarfile
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import stats
from sklearn.datasets import load_digits

from forward_stability.errors import InputError
from forward_stability.experiments import data, noise
from forward_stability.experiments.download import SETS

RANDOM = np.random.default_rng(0)
# Of the digits: the same on every machine.
FINGERPRINT = "6a62f60203ffdff01268c771a6f03af8615884b0376a4ae4a6fc0637072b4358"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FORWARD_STABILITY_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


def test_digits_are_sklearns_enlarged_three_times_with_a_margin():
    digits = data.load_dataset("digits")
    assert digits.train_images.shape == (1437, 1, 32, 32)
    assert digits.test_images.shape == (360, 1, 32, 32)
    assert digits.train_images.dtype == torch.uint8
    bunch = load_digits()
    original = torch.as_tensor(bunch.images).unsqueeze(1)
    enlarged = F.interpolate(original, size=(24, 24), mode="bilinear")[:, 0] * 255 / 16
    images = torch.cat([digits.train_images, digits.test_images])[:, 0].double()
    assert images.sum() == images[:, 4:-4, 4:-4].sum()
    labels = torch.cat([digits.train_labels, digits.test_labels])
    distance = torch.cdist(images[:, 4:-4, 4:-4].flatten(1), enlarged.flatten(1), p=torch.inf)
    closest = distance.min(dim=1)
    assert closest.values.max() <= 0.5 + 1e-9  # rounded to whole numbers
    assert closest.indices.unique().numel() == 1797
    assert torch.equal(torch.as_tensor(bunch.target)[closest.indices], labels)
    assert digits.fingerprint == FINGERPRINT
    assert digits.test_labels.bincount().min() >= 34
    assert digits.classes == tuple("0123456789")
    assert not digits.flips


def test_mean_is_that_of_numpy():
    digits = data.load_dataset("digits")
    expected = digits.train_images.double().numpy().mean() / 255
    assert digits.mean.item() == pytest.approx(expected, rel=1e-7)  # one rounding to float32


def folder(path, *, classes=("cat", "dog"), n=3, size=(8, 6)):
    for split in ("train", "test"):
        for name in classes:
            (path / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = RANDOM.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path / split / name / f"{i}.png")
    return f"imagefolder:{path}"


def test_imagefolder_reads_every_pixel_and_caches(tmp_path, root, monkeypatch):
    name = folder(tmp_path / "pets")
    first = data.load_dataset(name, progress=False)
    assert first.train_images.shape == (6, 3, 6, 8)
    assert first.classes == ("cat", "dog")
    assert first.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    with Image.open(tmp_path / "pets" / "train" / "dog" / "1.png") as image:
        expected = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    assert torch.equal(first.train_images[4], expected)

    with monkeypatch.context() as patch:
        patch.setattr(data, "_read_images", None)  # the second time nothing is read
        assert data.load_dataset(name).fingerprint == first.fingerprint
    Image.new("RGB", (8, 6)).save(tmp_path / "pets" / "test" / "cat" / "0.png")
    assert data.load_dataset(name, progress=False).fingerprint != first.fingerprint


def test_a_truncated_image_is_named(tmp_path):
    name = folder(tmp_path / "pets")
    victim = tmp_path / "pets" / "train" / "dog" / "2.png"
    victim.write_bytes(victim.read_bytes()[:90])
    with pytest.raises(InputError, match=r"2\.png \(90 bytes\) cannot be read as an image"):
        data.load_dataset(name, progress=False)


def test_images_of_two_sizes_are_refused(tmp_path):
    name = folder(tmp_path / "pets")
    Image.new("RGB", (9, 6)).save(tmp_path / "pets" / "train" / "dog" / "2.png")
    with pytest.raises(InputError, match=r"2\.png has 9x6 pixels, the images before it 8x6"):
        data.load_dataset(name, progress=False)


@pytest.mark.parametrize("make", [(), ("train", "test"), ("train/cat", "test/cat")])
def test_an_empty_folder_is_refused(tmp_path, make):
    (tmp_path / "pets").mkdir()
    for part in make:
        (tmp_path / "pets" / part).mkdir(parents=True)
    with pytest.raises(InputError, match=r"is missing: put images in|holds no images"):
        data.load_dataset(f"imagefolder:{tmp_path / 'pets'}")


def test_different_classes_are_refused(tmp_path):
    name = folder(tmp_path / "pets")
    (tmp_path / "pets" / "test" / "dog").rename(tmp_path / "pets" / "test" / "horse")
    with pytest.raises(InputError, match="different classes"):
        data.load_dataset(name)


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="unknown data set 'cifar': choose digits, cifar10"):
        data.load_dataset("cifar")


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
            self.send_response(206 if ranged else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : start + self.server.limit])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests, server.limit = {}, [], 1 << 30
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


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
        labels.append([int(x) for x in RANDOM.integers(0, 10, 2)])
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
    with pytest.raises(InputError, match=r"damaged|broke off"):
        data.load_dataset(name, download=True, mirror=host.url, progress=False)
    host.limit = 1 << 30
    found = data.load_dataset(name, download=True, mirror=host.url, progress=False)
    assert [start for _, start in host.requests] == [0, 1000]
    images = torch.cat([found.train_images, found.test_images])
    assert torch.equal(images, torch.from_numpy(pixels).view(-1, 3, 32, 32))
    assert torch.cat([found.train_labels, found.test_labels]).tolist() == labels
    assert found.classes[3] == "c3"
    assert found.flips


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


def test_a_relative_folder_may_lie_in_the_data_root(root, tmp_path):
    folder(tmp_path / "other")
    shutil.copytree(tmp_path / "other", root / "pets")
    inside = data.load_dataset("imagefolder:pets", progress=False)
    outside = data.load_dataset(f"imagefolder:{tmp_path / 'other'}", progress=False)
    assert inside.name == "imagefolder:pets"
    assert inside.fingerprint == outside.fingerprint


def test_an_altered_cache_is_refused(tmp_path, root):
    name = folder(tmp_path / "pets")
    data.load_dataset(name, progress=False)
    (cache,) = root.glob("imagefolder-*.safetensors")
    content = bytearray(cache.read_bytes())
    content[-1] ^= 1
    cache.write_bytes(content)
    with pytest.raises(InputError, match=r"was altered: SHA-256 .* delete"):
        data.load_dataset(name)


def test_augmentation_is_crop_and_flip_of_a_plain_loop():
    """All 81 offsets, mirrored and not, on another image each."""
    images, border = torch.rand(162, 2, 5, 6), torch.rand(2, 1, 1)
    grid = torch.cartesian_prod(torch.arange(9), torch.arange(9), torch.arange(2))
    crops = data.augment(images, border, grid[:, :2], grid[:, 2].bool())
    assert crops.is_contiguous(memory_format=torch.channels_last)
    for image, crop, (i, j, flip) in zip(images, crops, grid.tolist(), strict=True):
        canvas = border.repeat(1, 13, 14)
        canvas[:, 4:9, 4:10] = image
        window = canvas[:, i : i + 5, j : j + 6]
        assert torch.equal(crop, window.flip(-1) if flip else window)


def test_the_border_is_the_mean_of_photographs_and_black_around_drawings(tmp_path, root):
    photographs = data.load_dataset(folder(tmp_path / "pets"), progress=False)
    assert torch.equal(photographs.border, photographs.mean)
    assert (photographs.mean > 0).all()
    digits = data.load_dataset("digits")
    assert torch.equal(digits.border, torch.zeros(1, 1, 1))


def test_unstructured_noise_is_normal_and_seeded():
    images = torch.full((4, 3, 64, 64), 0.5)
    drawn = lambda seed, sigma: (  # noqa: E731
        noise.unstructured_noise(images, sigma, torch.Generator().manual_seed(seed)) - images
    )
    assert torch.equal(drawn(0, 0.05), drawn(0, 0.05))
    assert not torch.equal(drawn(0, 0.05), drawn(1, 0.05))
    assert stats.kstest((drawn(0, 0.05) / 0.05).flatten().numpy(), "norm").pvalue > 1e-3
    assert torch.equal(drawn(0, 0.0), torch.zeros_like(images))


def test_structured_noise_adds_a_multiple_of_one_image():
    images = torch.rand(5, 3, 4, 4)
    x0 = torch.rand(3, 4, 4)
    found = noise.structured_noise(images, x0, 0.25)
    assert all(torch.equal(a, b + 0.25 * x0) for a, b in zip(found, images, strict=True))


def test_impossible_noise_is_refused():
    images = torch.rand(1, 3, 4, 4)
    with pytest.raises(InputError, match="sigma must be at least 0"):
        noise.unstructured_noise(images, -0.1, torch.Generator())
    with pytest.raises(InputError, match="epsilon must be at least 0"):
        noise.structured_noise(images, images[0], float("nan"))
    with pytest.raises(InputError, match="x0 must have the shape"):
        noise.structured_noise(images, images, 0.1)
