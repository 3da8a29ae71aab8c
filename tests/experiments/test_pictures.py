"""Pictures of sixty kinds, as they are found in the wild: right values, or one line."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from forward_stability.errors import InputError
from forward_stability.experiments.pictures import read_picture

H, W = 5, 7
GREY = np.linspace(0, 255, H * W).round().astype(np.uint8).reshape(H, W)
COLOURS = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
DEEP = np.linspace(0, 65535, H * W).round().astype(np.uint16).reshape(H, W)
FEW = np.arange(H * W).reshape(H, W) % 4


def triple(grey: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2)


def save(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content)
    )  # fmt: skip


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG file from its parts; ``rows`` have a byte for their filter each."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def rows(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def turned(orientation: int) -> bytes:
    """The colours as a camera held in one of eight ways stores them."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: lambda a: np.rot90(a, 3),
    }[orientation]  # fmt: skip
    stored = Image.fromarray(np.ascontiguousarray(turn(COLOURS)))
    return save(stored, "PNG", exif=exif)


def tiff(array: np.ndarray, **tags) -> bytes:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for number, value in tags.items():
        info[int(number[1:])] = value
    return save(Image.fromarray(array), "TIFF", tiffinfo=info)


def strip_tiff(pixels: bytes, bits: int, photometric: int, samples: int = 1) -> bytes:
    """A TIFF of one strip, written by hand."""
    tags = [
        (256, 3, W), (257, 3, H), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 0), (277, 3, samples), (278, 3, H), (279, 4, len(pixels)),
    ]  # fmt: skip
    offset = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, kind, 1, offset if tag == 273 else value)
        for tag, kind, value in tags
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels


def twelve_bits() -> bytes:
    """DEEP in 12 bits, two values in three bytes, each row from a byte of its own."""
    values = DEEP.astype(np.int64) >> 4
    return b"".join(
        int("".join(f"{v:012b}" for v in row).ljust(88, "0"), 2).to_bytes(11, "big")
        for row in values
    )


def palette(mode: str = "RGB") -> Image.Image:
    image = Image.fromarray(FEW.astype(np.uint8), "L").convert("P")
    image.putdata(FEW.ravel().tolist())
    image.putpalette([0, 10, 20, 90, 80, 70, 255, 0, 255, 1, 2, 3], mode)
    return image


PALETTE = np.array([[0, 10, 20], [90, 80, 70], [255, 0, 255], [1, 2, 3]], np.uint8)[FEW]
GREY_IMAGE, COLOUR_IMAGE = Image.fromarray(GREY), Image.fromarray(COLOURS)
TWO = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
GLASS = np.dstack([COLOURS, np.full((H, W), 255, np.uint8)])
HOLE = GLASS.copy()
HOLE[0, 0, 3] = 254


def info(**texts: str) -> PngImagePlugin.PngInfo:
    found = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        found.add_text(name, text, zip=True)
    return found


def cut(content: bytes, share: float = 0.6) -> bytes:
    return content[: int(share * len(content))]


def noise(kind: str, **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    return save(Image.fromarray(pixels), kind, **options)


LINEAR = np.linspace(0, 1, H * W, dtype=np.float32).reshape(H, W)
DEEP_GREY = triple((DEEP / 257).round())

EXACT: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "png colour": (lambda: save(COLOUR_IMAGE, "PNG"), COLOURS),
    "png grey": (lambda: save(GREY_IMAGE, "PNG"), triple(GREY)),
    "png black and white": (
        lambda: save(Image.fromarray(GREY > 99), "PNG"), triple(255 * (GREY > 99))
    ),
    "png grey of 2 bits": (
        lambda: png(4, 1, 2, 0, b"\0\x1b"), triple(np.array([[0, 85, 170, 255]]))
    ),
    "png grey of 4 bits": (lambda: png(2, 1, 4, 0, b"\0\x0f"), triple(np.array([[0, 255]]))),
    "png grey of 16 bits": (lambda: save(Image.fromarray(DEEP), "PNG"), DEEP_GREY),
    "png colour of 16 bits": (
        lambda: png(W, H, 16, 2, rows(np.repeat(257 * GREY.astype(">u2")[..., None], 3, 2))),
        triple(GREY),
    ),
    "png palette": (lambda: save(palette(), "PNG"), PALETTE),
    "png with opaque alpha": (lambda: save(Image.fromarray(GLASS), "PNG"), COLOURS),
    "png grey with opaque alpha": (
        lambda: save(Image.merge("LA", (GREY_IMAGE, Image.new("L", (W, H), 255))), "PNG"),
        triple(GREY),
    ),
    "png palette with opaque alpha": (
        lambda: save(palette(), "PNG", transparency=b"\xff\xff\xff\xff"), PALETTE
    ),
    "png interlaced": (
        lambda: png(1, 1, 8, 2, b"\0\x01\x02\x03").replace(
            chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
            chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 1)),
        ),
        np.array([[[1, 2, 3]]], np.uint8),
    ),
    "png with a short text": (lambda: save(COLOUR_IMAGE, "PNG", pnginfo=info(a="b")), COLOURS),
    **{f"png turned by exif {k}": (lambda k=k: turned(k), COLOURS) for k in range(1, 9)},
    "bmp colour": (lambda: save(COLOUR_IMAGE, "BMP"), COLOURS),
    "bmp grey": (lambda: save(GREY_IMAGE, "BMP"), triple(GREY)),
    "bmp black and white": (
        lambda: save(Image.fromarray(GREY > 99), "BMP"), triple(255 * (GREY > 99))
    ),
    "bmp palette": (lambda: save(palette(), "BMP"), PALETTE),
    "gif": (lambda: save(palette(), "GIF"), PALETTE),
    "gif grey": (lambda: save(GREY_IMAGE, "GIF"), triple(GREY)),
    "ppm": (lambda: save(COLOUR_IMAGE, "PPM"), COLOURS),
    "pgm": (lambda: save(GREY_IMAGE, "PPM"), triple(GREY)),
    "pbm": (lambda: save(Image.fromarray(GREY > 99), "PPM"), triple(255 * (GREY > 99))),
    "pgm of 16 bits": (
        lambda: f"P5 {W} {H} 65535\n".encode() + DEEP.astype(">u2").tobytes(), DEEP_GREY
    ),
    "pgm of 10 bits": (
        lambda: f"P5 {W} {H} 1023\n".encode() + (DEEP >> 6).astype(">u2").tobytes(),
        triple(((DEEP >> 6) / 1023 * 255).round()),
    ),
    "pgm up to 15": (lambda: b"P5 2 1 15\n\x00\x0f", triple(np.array([[0, 255]]))),
    "ppm as text": (lambda: b"P3 1 1 255\n1 2 3\n", np.array([[[1, 2, 3]]], np.uint8)),
    "tiff colour": (lambda: save(COLOUR_IMAGE, "TIFF"), COLOURS),
    "tiff grey": (lambda: save(GREY_IMAGE, "TIFF"), triple(GREY)),
    "tiff black and white": (
        lambda: save(Image.fromarray(GREY > 99), "TIFF"), triple(255 * (GREY > 99))
    ),
    "tiff, white is 0": (
        lambda: strip_tiff(GREY.tobytes(), 8, 0), triple(255 - GREY)
    ),
    "tiff of 16 bits": (lambda: tiff(DEEP), DEEP_GREY),
    "tiff of 12 bits": (
        lambda: strip_tiff(twelve_bits(), 12, 1), triple(((DEEP >> 4) / 4095 * 255).round())
    ),
    "tiff palette": (lambda: save(palette(), "TIFF"), PALETTE),
    "tiff packed by lzw": (lambda: save(COLOUR_IMAGE, "TIFF", compression="tiff_lzw"), COLOURS),
    "tiff packed by deflate": (
        lambda: save(COLOUR_IMAGE, "TIFF", compression="tiff_adobe_deflate"), COLOURS
    ),
    "tiff cmyk": (
        lambda: save(Image.fromarray(np.dstack([255 - COLOURS, 0 * GREY]), "CMYK"), "TIFF"),
        COLOURS,
    ),
    "tiff with opaque alpha": (lambda: save(Image.fromarray(GLASS), "TIFF"), COLOURS),
    "webp without loss": (lambda: save(COLOUR_IMAGE, "WEBP", lossless=True), COLOURS),
}  # fmt: skip

NEAR: dict[str, tuple[Callable[[], bytes], np.ndarray, float]] = {
    "jpeg grey": (lambda: save(GREY_IMAGE, "JPEG", quality=95), triple(GREY), 6),
    "jpeg colour": (
        lambda: save(COLOUR_IMAGE, "JPEG", quality=95, subsampling=0), COLOURS, 25
    ),
    "jpeg progressive": (
        lambda: save(GREY_IMAGE, "JPEG", quality=95, progressive=True), triple(GREY), 6
    ),
    "jpeg cmyk": (
        lambda: save(GREY_IMAGE.convert("RGB").convert("CMYK"), "JPEG", quality=95),
        triple(GREY), 6,
    ),
    "webp": (lambda: save(GREY_IMAGE.convert("RGB"), "WEBP", quality=95), triple(GREY), 12),
}  # fmt: skip

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "png one can see through": (lambda: save(Image.fromarray(HOLE), "PNG"), "see through"),
    "png palette one can see through": (
        lambda: save(palette(), "PNG", transparency=1), "see through"
    ),
    "png grey with a transparent value": (
        lambda: save(GREY_IMAGE, "PNG", transparency=0), "see through"
    ),
    "png of 16 bits with a transparent value": (
        lambda: png(W, H, 16, 0, rows(DEEP.astype(">u2")), chunk(b"tRNS", b"\0\0")), "mode I"
    ),
    "png animated": (
        lambda: save(TWO[0], "PNG", save_all=True, append_images=TWO[1:]), "holds 2 pictures"
    ),
    "gif animated": (
        lambda: save(TWO[0], "GIF", save_all=True, append_images=TWO[1:]), "holds 2 pictures"
    ),
    "webp animated": (
        lambda: save(TWO[0], "WEBP", save_all=True, append_images=TWO[1:], lossless=True),
        "holds 2 pictures",
    ),
    "tiff of two pages": (
        lambda: save(TWO[0], "TIFF", save_all=True, append_images=TWO[1:]), "holds 2 pictures"
    ),
    "tiff of numbers": (lambda: tiff(LINEAR), "mode F"),
    "tiff of 32 bits": (lambda: tiff(DEEP.astype(np.int32)), "mode I"),
    "tiff of 16 bits, white is 0": (
        lambda: strip_tiff(DEEP.astype("<u2").tobytes(), 16, 0), "mode I"
    ),
    "pfm": (lambda: f"Pf\n{W} {H}\n-1.0\n".encode() + LINEAR.tobytes(), "mode F"),
    "png with a text of 2 MB": (
        lambda: save(COLOUR_IMAGE, "PNG", pnginfo=info(a="b" * 2_000_000)), "too large"
    ),
    "png with a profile of 2 MB": (
        lambda: save(COLOUR_IMAGE, "PNG", icc_profile=bytes(2_000_000)), "too large"
    ),
    "png with a checksum that is wrong": (
        lambda: save(COLOUR_IMAGE, "PNG")[:40] + b"xx" + save(COLOUR_IMAGE, "PNG")[42:], ""
    ),
    "png that claims 10 billion pixels": (lambda: png(100_000, 100_000, 8, 2, b"\0"), "exceeds"),
    "bmp that claims 10 billion pixels": (
        lambda: save(COLOUR_IMAGE, "BMP")[:18]
        + struct.pack("<ii", 100_000, 100_000)
        + save(COLOUR_IMAGE, "BMP")[26:],
        "exceeds",
    ),
    "png with too large a palette": (
        lambda: png(1, 1, 8, 3, b"\0\0", chunk(b"PLTE", bytes(3 * 300))), ""
    ),
    "png cut": (lambda: cut(noise("PNG")), ""),
    "jpeg cut": (lambda: cut(noise("JPEG")), ""),
    "gif cut": (lambda: cut(noise("GIF")), ""),
    "bmp cut": (lambda: cut(noise("BMP")), ""),
    "ppm cut": (lambda: cut(noise("PPM")), ""),
    "tiff cut": (lambda: cut(noise("TIFF")), ""),
    "webp cut": (lambda: cut(noise("WEBP")), ""),
    "tiff of which the end is missing": (
        lambda: cut(strip_tiff(GREY.tobytes(), 8, 1), 0.95), ""
    ),
    "empty": (lambda: b"", "cannot identify"),
    "text": (lambda: b"<html>not found</html>", "cannot identify"),
    "svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot identify"),
    "a program in PostScript": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\nshowpage\n", "cannot identify"
    ),
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"  # formats are known by their contents


@pytest.mark.parametrize("kind", EXACT)
def test_a_picture_is_read_as_it_is_shown(file, kind):
    make, expected = EXACT[kind]
    file.write_bytes(make())
    found = read_picture(file)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", NEAR)
def test_a_picture_stored_with_losses_is_read_nearly(file, kind):
    make, expected, tolerance = NEAR[kind]
    file.write_bytes(make())
    assert np.abs(read_picture(file).astype(int) - expected).max() <= tolerance


@pytest.mark.filterwarnings("default")  # as on a command line
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_without_a_guess_is_refused_in_a_line(file, kind):
    make, words = REFUSED[kind]
    file.write_bytes(make())
    with pytest.raises(InputError) as error:
        read_picture(file)
    message = " ".join(str(error.value).split())
    assert message.startswith(f"{file} ({file.stat().st_size:,} bytes) cannot be read as an image")
    assert words in message
    assert len(message) < len(os.fspath(file)) + 300


def test_a_picture_that_is_not_there(file):
    file.symlink_to("nowhere")
    with pytest.raises(InputError, match=r"picture\.png cannot be read as an image"):
        read_picture(file)


def test_there_are_sixty_kinds():
    assert len(EXACT) + len(NEAR) + len(REFUSED) >= 60
