"""Pixels of other depths than 8 bits: their levels are those of the file, or the picture is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from picture_files import png_of, read_bytes, tiff_of
from PIL import Image

from midms.images import PictureError
from midms.images.annotations import label_map
from midms.images.reading import read_image


def sixteen(number: float, kind: str) -> bytes:
    return struct.pack(kind, number) * 256


LEVELS: dict[str, tuple[bytes, int]] = {
    "16 bits, 0 is black": (tiff_of(16, 1, sixteen(49152, "<H")), 191),
    "16 bits, 0 is white": (tiff_of(16, 0, sixteen(49152, "<H")), 64),
    "8 bits, 0 is white": (tiff_of(8, 0, sixteen(191, "B")), 64),
    "floats, 0 is white": (tiff_of(32, 0, sixteen(0.75, "<f"), 3), 64),
    "12 bits": (tiff_of(12, 1, b"\xc0\x0c\x00" * 128), 191),
    "4 bits": (png_of(4, 0, b"\xcc" * 128), 204),
    "a PGM's 16 bits, nearly black": (b"P5 16 16 65535\n" + sixteen(200, ">H"), 1),
    "a PGM of 300 levels": (b"P5 16 16 300\n" + sixteen(225, ">H"), 191),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_are_those_of_the_file(kind: str, tmp_path: Path) -> None:
    content, level = LEVELS[kind]
    assert (abs(read_bytes(content, tmp_path) - level) <= 1).all()


KEYS = {
    "2 bits": png_of(2, 0, b"\xaa" * 32 + bytes(32), b"\0\2"),
    "4 bits": png_of(4, 0, b"\xcc" * 64 + bytes(64), b"\0\14"),
    "8 bits": png_of(8, 0, b"\xcc" * 128 + bytes(128), b"\0\xcc"),
    "16 bits": png_of(16, 0, b"\xc3\x50" * 128 + bytes(256), b"\xc3\x50"),
    "16 bits in colours": png_of(16, 2, b"\xc3\x50\x4e\x20\x27\x10" * 128 + bytes(768), b"\xc3\x50\x4e\x20\x27\x10"),
}


def loaded(path: Path) -> Image.Image:
    image = Image.open(path)
    image.load()
    return image


@pytest.mark.parametrize("opened", [Path, Image.open, loaded])
@pytest.mark.parametrize("depth", KEYS)
def test_the_colour_that_stands_for_transparent_is_laid_on_white(
    depth: str, opened: Callable[[Path], Path | Image.Image], tmp_path: Path
) -> None:
    path = tmp_path / "key.png"
    path.write_bytes(KEYS[depth])
    picture = read_image(opened(path))[0].numpy()
    assert (picture[:, :8] == 1).all() and (picture[:, 8:] == -1).all()


@pytest.mark.parametrize("opened", [Path, Image.open, loaded])
@pytest.mark.parametrize("bit", range(48))
def test_a_colour_that_differs_in_a_bit_is_not_transparent(
    bit: int, opened: Callable[[Path], Path | Image.Image], tmp_path: Path
) -> None:
    path, key = tmp_path / "key.png", b"\xc3\x50\x4e\x20\x27\x10"
    other = (int.from_bytes(key, "big") ^ 1 << bit).to_bytes(6, "big")
    path.write_bytes(png_of(16, 2, other * 128 + key * 128, key))
    picture = read_image(opened(path))[0].numpy()
    levels = np.frombuffer(other, ">u2") >> 8
    assert (picture[:, 8:] == 1).all() and abs(picture[:, :8] - (levels / 127.5 - 1)[:, None, None]).max() < 1e-6


@pytest.mark.parametrize("number", [-5, 70_000])
def test_numbers_that_are_no_levels_are_refused(number: int, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    path.write_bytes(tiff_of(32, 1, sixteen(number, "<i"), 2))
    with pytest.raises(PictureError, match=rf"deep.tif: holds numbers from {number} to {number}, expected 0 to 65535"):
        read_image(path)


def test_what_is_negative_by_rounding_is_0() -> None:
    picture = np.linspace(-1e-3, 1, 256).reshape(16, 16)
    assert abs(read_image(picture)[0, 0].numpy() - (2 * picture - 1)).max() < 0.003
    assert abs(read_image(picture - 0.01)[0, 0].numpy() - (picture - 0.01)).max() < 1e-6


LABELS = {
    "2 bits": png_of(2, 0, b"\xaa" * 64),
    "4 bits": png_of(4, 0, b"\xcc" * 128),
    "4 bits of a TIFF": tiff_of(4, 1, b"\xcc" * 128),
    "16 bits in colours": png_of(16, 2, b"\1\2" * 768),
    "up to 15": b"P5 16 16 15\n" + b"\14" * 256,
    "up to 1000": b"P5 16 16 1000\n" + b"\1\2" * 256,
    "up to 20 in words": b"P2 16 16 20\n" + b"12 " * 256,
}


@pytest.mark.parametrize("opened", [Path, Image.open, loaded])
@pytest.mark.parametrize("depth", LABELS)
def test_labels_that_would_be_read_as_grey_are_refused(
    depth: str, opened: Callable[[Path], Path | Image.Image], tmp_path: Path
) -> None:
    path = tmp_path / "labels"
    path.write_bytes(LABELS[depth])
    with pytest.raises(PictureError, match="has numbers of another depth than 8 or 16 bits"):
        label_map(opened(path))


def test_labels_of_8_and_16_bits_are_those_of_the_file(tmp_path: Path) -> None:
    for content, label in (
        (png_of(8, 0, b"\14" * 256), 12),
        (png_of(16, 0, b"\1\2" * 256), 258),
        (tiff_of(16, 1, sixteen(300, "<H")), 300),
        (b"P5 16 16 255\n" + b"\14" * 256, 12),
        (b"P2 16 16 255\n" + b"12 " * 256, 12),
    ):
        (tmp_path / "labels").write_bytes(content)
        assert label_map(tmp_path / "labels").unique().tolist() == [label]
