"""Pixels of other depths than 8 bits: their levels are those of the file, or the picture is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from picture_files import png_of, read_bytes, tiff_of
from PIL import Image
from sample_pictures import drawing, photo
from shifting import Shifting

from midms.images import PictureError
from midms.images.annotations import label_map
from midms.images.reading import read_image, read_pixels


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


def deep(greatest: int, kind: str, channels: int = 1) -> bytes:
    """Numbers of 16 bits from 0 to the greatest."""
    numbers = np.linspace(0, greatest, 256).round().astype(kind)
    return np.repeat(numbers, channels).tobytes()


FAINT: dict[str, tuple[Callable[[int], bytes], str, str]] = {
    "grey PNG": (lambda most: png_of(16, 0, deep(most, ">u2")), "black", "white"),
    "grey PNG with alpha": (lambda most: png_of(16, 4, with_alpha(most, 1)), "black", "white"),
    "PNG in colours": (lambda most: png_of(16, 2, deep(most, ">u2", 3)), "black", "white"),
    "PNG in colours with alpha": (lambda most: png_of(16, 6, with_alpha(most, 3)), "black", "white"),
    "TIFF": (lambda most: tiff_of(16, 1, deep(most, "<u2")), "black", "white"),
    "TIFF whose 0 is white": (lambda most: tiff_of(16, 0, deep(most, "<u2")), "white", "black"),
    "TIFF of 32 bits": (lambda most: tiff_of(32, 1, deep(most, "<u4")), "black", "white"),
    "PGM": (lambda most: b"P5 16 16 65535\n" + deep(most, ">u2"), "black", "white"),
    "PPM": (lambda most: b"P6 16 16 65535\n" + deep(most, ">u2", 3), "black", "white"),
}


def with_alpha(greatest: int, channels: int) -> bytes:
    colours = np.frombuffer(deep(greatest, ">u2", channels), ">u2").reshape(256, channels)
    return np.concatenate([colours, np.full((256, 1), 65535)], 1).astype(">u2").tobytes()


@pytest.mark.parametrize("opened", [Path, Image.open, loaded])
@pytest.mark.parametrize("kind", FAINT)
def test_numbers_that_leave_the_highest_of_16_bits_unused_are_told(
    kind: str, opened: Callable[[Path], Path | Image.Image], tmp_path: Path
) -> None:
    """Of cameras' 12 and 14 bits; the levels stay those of the file, and a picture that is merely dark is none."""
    content, near, far = FAINT[kind]
    path = tmp_path / "deep"
    for greatest, bits, factor in ((4095, 12, 16), (1023, 10, 64), (16383, 14, 4), (20000, None, None)):
        path.write_bytes(content(greatest))
        pixels = read_pixels(opened(path))
        if bits is None:
            assert pixels.warnings == ()
        else:
            (line,) = pixels.warnings
            assert line.startswith(f"its numbers stay within {bits} of 16 bits, so that it is nearly {near}; ")
            assert line.endswith(f"if {greatest} was meant to be {far}, multiply them by {factor}")
        level = greatest / 65535 if near == "black" else 1 - greatest / 65535
        assert abs((read_image(pixels)[0, 0, -1, -1].item() + 1) / 2 - level) < 1 / 255


def test_other_depths_are_not_told(tmp_path: Path) -> None:
    dark = np.full((16, 16), 9, np.uint8)
    others = {
        "8 bits": png_of(8, 0, b"\x09" * 256),
        "12 bits": tiff_of(12, 1, b"\x01\x00\x10" * 128),
        "32 bits to 255": tiff_of(32, 1, sixteen(200, "<I")),
        "a PGM of 300 levels": b"P5 16 16 300\n" + sixteen(20, ">H"),
        "a PPM of 4095 levels": b"P6 16 16 4095\n" + sixteen(20, ">H") * 3,
        "floats": tiff_of(32, 1, sixteen(0.01, "<f"), 3),
    }
    for kind, content in others.items():
        (tmp_path / "picture").write_bytes(content)
        assert read_pixels(tmp_path / "picture").warnings == (), kind
    for array in (dark, dark / np.float32(255), Image.fromarray(dark), dark.astype(int)):
        assert read_pixels(array).warnings == ()


def test_a_result_says_whose_numbers_are_small() -> None:
    """Arrays too; of the transparent ones what is opaque counts."""
    picture, ink = np.asarray(photo(64, 64)).astype(np.uint16), drawing(96, 96)
    small = Shifting().translate(ink, [picture * 257, picture * 16], seed=0)
    (line,) = small.warnings
    assert line.startswith("exemplar 2: its numbers stay within 12 of 16 bits")
    assert Shifting().translate(ink, picture * 257, seed=0).warnings == ()
    alpha = np.concatenate([picture * 16, np.full((64, 64, 1), 65535, np.uint16)], -1)
    (line,) = Shifting().translate(ink, alpha, seed=0).warnings
    assert line.startswith("exemplar: its numbers stay within 12 of 16 bits")
    strokes = np.asarray(ink).astype(np.uint16)
    (line,) = Shifting().translate(strokes * 64, picture * 257, seed=0).warnings
    assert line.startswith("condition: its numbers stay within 14 of 16 bits")
    with pytest.raises(PictureError, match=r"condition: the drawing has no strokes: .*; its numbers stay within 8 of"):
        Shifting().translate(strokes, picture * 257, seed=0)
