"""Data sets in memory, their errors and augmentation."""

import os
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import write_pictures
from PIL import Image, ImageOps
from sklearn.datasets import load_digits

from forward_stability.errors import InputError
from forward_stability.experiments import data, pictures
from forward_stability.experiments.storage import save_tensors

# Of the digits: the same on every machine.
FINGERPRINT = "849042041722bc457dd5d5020cafad744b71f11adbb6771611b38571a78b4094"


@pytest.fixture(autouse=True)
def _data_root(root):
    """Nothing is read from or written to the folder of the user."""


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


def test_imagefolder_reads_every_pixel_and_caches(tmp_path, root, monkeypatch):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0}, (3, 3), (6, 8))
    first = data.load_dataset(name, progress=False)
    assert first.train_images.shape == (6, 3, 6, 8)
    assert first.classes == ("cat", "dog")
    assert first.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    with Image.open(tmp_path / "pets" / "train" / "dog" / "01.png") as image:
        expected = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    assert torch.equal(first.train_images[4], expected)

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "read_picture", None)  # the second time nothing is read
        assert data.load_dataset(name).fingerprint == first.fingerprint
    Image.new("RGB", (8, 6)).save(tmp_path / "pets" / "test" / "cat" / "00.png")
    assert data.load_dataset(name, progress=False).fingerprint != first.fingerprint


def test_a_truncated_image_is_named(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0}, (3, 3), (6, 8))
    victim = tmp_path / "pets" / "train" / "dog" / "02.png"
    victim.write_bytes(victim.read_bytes()[:90])
    with pytest.raises(InputError, match=r"02\.png \(90 bytes\) cannot be read as an image"):
        data.load_dataset(name, progress=False)


def test_images_of_two_sizes_are_refused(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0}, (3, 3), (6, 8))
    Image.new("RGB", (9, 6)).save(tmp_path / "pets" / "train" / "cat" / "01.png")
    with pytest.raises(InputError, match=r"01\.png has 9x6 pixels, the images before it 8x6"):
        data.load_dataset(name, progress=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ((), "pets/train is missing: put images in"),
        (("train", "test"), "pets/train holds no images in folders by class"),
        (("train/.cat", "test/.cat"), "pets/train holds no images in folders by class"),
        (("train/cat", "test/cat"), "class folder .*pets/train/cat is empty: fill it or remove it"),
    ],
)
def test_an_empty_folder_is_refused(tmp_path, make, message):
    (tmp_path / "pets").mkdir()
    for part in make:
        (tmp_path / "pets" / part).mkdir(parents=True)
    with pytest.raises(InputError, match=message):
        data.load_dataset(f"imagefolder:{tmp_path / 'pets'}")


def test_an_empty_class_among_others_is_named(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0})
    (tmp_path / "pets" / "train" / "horse").mkdir()
    with pytest.raises(InputError, match=r"class folder .*train/horse is empty: fill it"):
        data.load_dataset(name)
    (tmp_path / "pets" / "train" / "horse" / "list.txt").write_text("none yet")
    with pytest.raises(InputError, match=r"class folder .*train/horse holds no images: fill it"):
        data.load_dataset(name)


def test_what_is_hidden_is_no_class_and_no_image(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0})
    for split in ("train", "train/cat", "test"):
        hidden = tmp_path / "pets" / split / ".ipynb_checkpoints"
        hidden.mkdir()
        shutil.copy(tmp_path / "pets" / "test" / "dog" / "00.png", hidden)
    (tmp_path / "pets" / "train" / "cat" / "._00.png").write_bytes(b"of macOS")
    found = data.load_dataset(name, progress=False)
    assert found.classes == ("cat", "dog")
    assert len(found.train_images) == 10


def test_what_is_no_image_is_left_out_with_a_word_and_what_is_in_no_class_refused(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0})
    (tmp_path / "pets" / "train" / "cat" / "notes.txt").write_text("good cats")
    with pytest.warns(UserWarning, match=r"1 files in .*cat are no images .* such as notes\.txt"):
        assert len(data.load_dataset(name, progress=False).train_images) == 10
    (tmp_path / "pets" / "train" / "cat" / "00.png").rename(tmp_path / "pets" / "train" / "0.png")
    with pytest.raises(InputError, match=r"train/0\.png is in no class: move it to .*train/CLASS/"):
        data.load_dataset(name)


def test_folders_in_a_class_belong_to_it_and_links_that_lead_back_are_refused(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0})
    cat = tmp_path / "pets" / "train" / "cat"
    (cat / "young").mkdir()
    (cat / "00.png").rename(cat / "young" / "00.png")
    write_pictures(tmp_path / "more", {"cat": 0}, (2, 2))
    (cat / "more").symlink_to(tmp_path / "more" / "train" / "cat")
    found = data.load_dataset(name, progress=False)
    assert found.train_labels.tolist() == [0] * 7 + [1] * 5
    for target in (cat, cat.parent, cat / "young" / ".."):
        (cat / "young" / "again").symlink_to(target)
        with pytest.raises(InputError, match="young/again is a link to a folder that it lies in"):
            data.load_dataset(name)
        (cat / "young" / "again").unlink()
    (tmp_path / "more" / "train" / "cat" / "on").symlink_to(cat)
    with pytest.raises(InputError, match="cat/more/on is a link to a folder that it lies in"):
        data.load_dataset(name)


def test_different_classes_are_refused(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0}, (3, 3), (6, 8))
    (tmp_path / "pets" / "test" / "dog").rename(tmp_path / "pets" / "test" / "horse")
    with pytest.raises(InputError, match="different classes: dog, horse"):
        data.load_dataset(name)


def test_the_order_of_the_images_is_no_part_of_the_fingerprint(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0})
    first = data.load_dataset(name, progress=False)
    names = ["c", "a", "e", "b", "d"]
    for path in (tmp_path / "pets" / "train").rglob("*.png"):
        path.rename(path.with_stem(names[int(path.stem)]))
    second = data.load_dataset(name, progress=False)
    assert not torch.equal(first.train_images, second.train_images)
    assert first.fingerprint == second.fingerprint
    # Two images that change their classes, or their sets, are other data.
    cat, dog = (tmp_path / "pets" / "train" / kind / "a.png" for kind in ("cat", "dog"))
    test = tmp_path / "pets" / "test" / "cat" / "00.png"
    seen = {first.fingerprint}
    for a, b in ((cat, dog), (cat, test)):
        one, two = a.read_bytes(), b.read_bytes()
        a.write_bytes(two)
        b.write_bytes(one)
        seen.add(data.load_dataset(name, progress=False).fingerprint)
    assert len(seen) == 3


def test_images_replaced_by_others_of_the_same_size_and_time_are_read(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0})
    files = list((tmp_path / "pets").rglob("*.png"))
    for path in files:
        with Image.open(path) as image:
            image.save(path, "BMP")  # not compressed
    first = data.load_dataset(name, progress=False)
    for path in files:
        before = path.stat()
        with Image.open(path) as image:
            ImageOps.invert(image).save(path, "BMP")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
    second = data.load_dataset(name, progress=False)
    assert torch.equal(second.train_images, 255 - first.train_images)
    assert second.fingerprint != first.fingerprint


def test_names_that_are_not_utf8(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0})
    first = data.load_dataset(name, progress=False)
    odd = os.fsdecode(b"caf\xe9")
    for split in ("train", "test"):
        (tmp_path / "pets" / split / "cat").rename(tmp_path / "pets" / split / odd)
        (tmp_path / "pets" / split / "dog" / "00.png").rename(
            tmp_path / "pets" / split / "dog" / f"{odd}.png"
        )
    (tmp_path / "pets").rename(tmp_path / odd)
    dataset = data.load_dataset(f"imagefolder:{tmp_path / odd}", progress=False)
    assert dataset.classes == (r"caf\xe9", "dog")
    assert dataset.fingerprint == first.fingerprint


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="unknown data set 'cifar': choose digits, cifar10"):
        data.load_dataset("cifar")


def test_a_relative_folder_may_lie_in_the_data_root(root, tmp_path):
    write_pictures(tmp_path / "other", {"cat": 0, "dog": 0})
    shutil.copytree(tmp_path / "other", root / "pets")
    inside = data.load_dataset("imagefolder:pets", progress=False)
    outside = data.load_dataset(f"imagefolder:{tmp_path / 'other'}", progress=False)
    assert inside.name == "imagefolder:pets"
    assert inside.fingerprint == outside.fingerprint


def test_an_altered_cache_is_refused(tmp_path, root):
    name = write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0}, (3, 3), (6, 8))
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
    photographs = data.load_dataset(
        write_pictures(tmp_path / "pets", {"cat": 0, "dog": 0}), progress=False
    )
    assert torch.equal(photographs.border, photographs.mean)
    assert (photographs.mean > 0).all()
    digits = data.load_dataset("digits")
    assert torch.equal(digits.border, torch.zeros(1, 1, 1))


def test_a_folder_here_goes_before_one_in_the_data_root(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(root / "pets", {"cat": 0})
    inside = data.load_dataset("imagefolder:pets", progress=False)
    write_pictures(tmp_path / "pets", {"cat": 90})
    here = data.load_dataset("imagefolder:pets", progress=False)
    assert int(here.train_images.min()) >= 90 > int(inside.train_images.min())


def test_images_are_scaled_to_one():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert data.scale(images).tolist() == pytest.approx([0, 0.2, 1], rel=1e-7)
    assert data.scale(images).dtype == torch.float32


def test_the_folder_for_data(monkeypatch, tmp_path):
    assert data.data_root() == tmp_path / "root"
    monkeypatch.setenv("FORWARD_STABILITY_DATA", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.data_root() == tmp_path / ".cache" / "forward-stability"


@pytest.mark.parametrize(("black", "drawn"), [(2, False), (3, True), (4, True)])
def test_images_of_which_more_than_half_of_the_corners_are_black_are_drawn_on_black(black, drawn):
    images = torch.full((1, 1, 3, 4), 9, dtype=torch.uint8)
    for corner in ((0, 0), (0, 3), (2, 0), (2, 3))[:black]:
        images[0, 0, *corner] = 0
    labels = torch.zeros(1).long()
    found = data.Dataset("x", ("a",), images, labels, images, labels, True, "")
    assert (float(found.border) == 0) == drawn


def test_errors_say_sizes_and_what_is_missing(tmp_path):
    name = write_pictures(tmp_path / "pets", {"cat": 0})
    shutil.rmtree(tmp_path / "pets" / "test")
    with pytest.raises(InputError, match=r"pets/test is missing: put images in .*test/CLASS/"):
        data.load_dataset(name)


@pytest.mark.parametrize("metadata", [{}, {"classes": 3}, {"classes": ["a"]}])
def test_a_cache_of_another_form_is_refused(root, metadata):
    save_tensors(root / "mnist.safetensors", {"x": torch.ones(2)}, metadata)
    with pytest.raises(InputError, match=r"mnist\.safetensors holds no data set: delete it and"):
        data.load_dataset("mnist")


def test_a_home_folder_that_cannot_be_found(monkeypatch):
    monkeypatch.delenv("FORWARD_STABILITY_DATA")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without HOME and entry
    for name in ("mnist", "imagefolder:~/pets"):
        with pytest.raises(InputError, match="home folder that cannot be found: write the whole"):
            data.load_dataset(name)
    assert len(data.load_dataset("digits").classes) == 10
