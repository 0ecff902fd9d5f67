"""What stands in picture files beside their pixels and nobody needs: it may be broken, the pixels may not."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import profiles
import pytest
from picture_files import COLOUR, MUCH, assert_near, bytes_of, chunk, png_with, read_bytes, written
from PIL import Image

from midms.images import PictureError, read_image

P3 = profiles.of_rgb(profiles.DISPLAY_P3)


PNG_NOTES = {
    "2 MB of text": chunk(b"zTXt", b"Comment\0\0" + MUCH),
    "2 MB of text in a language": chunk(b"iTXt", b"Comment\0\1\0en\0\0" + MUCH),
    "2 MB of XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + MUCH),
    "text that is not compressed": chunk(b"zTXt", b"Comment\0\0nothing"),
    "text by an unknown method": chunk(b"zTXt", b"Comment\0\7nothing"),
    "text with a wrong checksum": chunk(b"tEXt", b"Comment\0all", 1),
    "a broken raw profile": chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 12\nnot hex\n"),
    "a raw profile cut off": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 12\n4578696")),
    "2 MB of profile": chunk(b"iCCP", b"ICC\0\0" + MUCH),
    "a profile by an unknown method": chunk(b"iCCP", b"ICC\0\7nothing"),
    "a profile that is none": chunk(b"iCCP", b"ICC\0\0" + zlib.compress(b"nothing")),
    "a profile cut off": chunk(b"iCCP", b"ICC\0\0" + zlib.compress(P3)[:90]),
    "a short gamma": chunk(b"gAMA", b"\1"),
    "a short white": chunk(b"cHRM", b"\1\2\3"),
    "an empty intent": chunk(b"sRGB", b""),
    "a short density": chunk(b"pHYs", b"\1"),
    "a broken animation": chunk(b"acTL", b"\1"),
    "a frame that is none": chunk(b"acTL", struct.pack(">II", 3, 0)) + chunk(b"fcTL", b"\1\2"),
    "EXIF that is none": chunk(b"eXIf", b"nothing"),
    "an unknown note": chunk(b"noTe", b"nothing", 7),
}


@pytest.mark.parametrize("note", PNG_NOTES)
def test_broken_notes_of_a_png_are_left_out(note: str, tmp_path: Path) -> None:
    for last in (False, True):
        found = read_bytes(png_with(Image.fromarray(COLOUR), PNG_NOTES[note], last), tmp_path)
        assert_near(found, COLOUR, 0)


def test_what_matters_is_heeded_beside_broken_notes(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(COLOUR)
    large = zlib.compress(P3 + bytes(2 * 2**20), 1)
    kinds = {
        "small": written(image, icc_profile=P3, exif=exif),
        "large": io.BytesIO(png_with(image, chunk(b"iCCP", b"P3\0\0" + large) + chunk(b"eXIf", exif.tobytes()[6:]))),
    }
    (tmp_path / "whole.png").write_bytes(kinds["small"].getvalue())
    expected = bytes_of(read_image(tmp_path / "whole.png"))
    assert expected.shape == (24, 16, 3) and abs(expected - np.rot90(COLOUR, -1)).max() > 10
    for content in kinds.values():
        plain = content.getvalue()
        assert_near(read_bytes(plain[:33] + PNG_NOTES["2 MB of text"] + plain[33:], tmp_path), expected, 0)


def segment(marker: int, data: bytes) -> bytes:
    return bytes([255, marker]) + struct.pack(">H", len(data) + 2) + data


JPEG_NOTES = {
    "a profile without a number": segment(0xE2, b"ICC_PROFILE\0"),
    "the first of three parts of a profile": segment(0xE2, b"ICC_PROFILE\0\1\3" + P3),
    "a short Adobe note": segment(0xEE, b"Adobe"),
    "a short JFIF note": segment(0xE0, b"JFIF\0"),
    "EXIF that is none": segment(0xE1, b"Exif\0\0nothing"),
    "XMP that is none": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='"),
    "a broken directory of pictures": segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff"),
    "resources of Photoshop cut off": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0"),
    "an empty comment": segment(0xFE, b""),
}


@pytest.mark.parametrize("note", JPEG_NOTES)
def test_broken_notes_of_a_jpeg_are_left_out(note: str, tmp_path: Path) -> None:
    content = written(Image.fromarray(COLOUR), "jpg", quality=95).getvalue()
    expected = read_bytes(content, tmp_path)
    assert_near(read_bytes(content[:2] + JPEG_NOTES[note] + content[2:], tmp_path), expected, 0)


@pytest.mark.parametrize(("mode", "length"), [("L", 1), ("1", 0), ("RGB", 5), ("RGB", 0)])
def test_a_transparent_colour_that_is_cut_off_is_left_out(mode: str, length: int, tmp_path: Path) -> None:
    plain = Image.fromarray(COLOUR).convert(mode)
    found = read_bytes(png_with(plain, chunk(b"tRNS", bytes(length))), tmp_path)
    assert_near(found, np.asarray(plain.convert("RGB")), 0)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_off_is_read_where_its_pixels_are_whole_and_nowhere_else(
    mode: str, progressive: bool, tmp_path: Path
) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)).convert(mode)
    content = written(noise, "jpg", quality=80, progressive=progressive).getvalue()
    expected = read_bytes(content, tmp_path)
    for cut in (1, 2):
        assert_near(read_bytes(content[:-cut], tmp_path), expected, 0)
        note = JPEG_NOTES["a short JFIF note"]
        assert_near(read_bytes(content[:2] + note + content[2:-cut], tmp_path), expected, 0)
    for end in range(content.index(b"\xff\xda"), len(content) - 2):
        try:
            assert_near(read_bytes(content[:end], tmp_path), expected, 0)
        except PictureError as error:
            assert "damaged picture" in str(error)
        else:
            assert len(content) - end < 5, "bits that fill the last byte"


@pytest.mark.parametrize("order", ["<", ">"])
def test_broken_notes_of_a_tiff_are_left_out(order: str, tmp_path: Path) -> None:
    pixels = np.arange(16 * 24, dtype=np.uint8)
    tags = [(256, 4, 1, 24), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (278, 4, 1, 16), (279, 4, 1, len(pixels))]
    for tag, kind, count, value in itertools.product(
        (270, 271, 282, 306, 700, 34665, 34675), (1, 5, 13, 16), (1, 4), (6, 2**31)
    ):
        table = b""
        for entry in sorted([*tags, (tag, kind, count, value)]):
            code = "HHIHxx" if entry[1] == 3 else "HHII"
            table += struct.pack(order + code, *entry)
        head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(pixels))
        content = head + pixels.tobytes() + struct.pack(order + "H", len(tags) + 1) + table + bytes(40)
        assert_near(read_bytes(content, tmp_path), np.repeat(pixels.reshape(16, 24, 1), 3, -1), 0)


MAKERS: dict[str, Callable[[], bytes]] = {
    "half of a PNG": lambda: written(Image.effect_noise((64, 64), 90)).getvalue()[:2000],
    "half of a JPEG's head": lambda: written(Image.fromarray(COLOUR), "jpg").getvalue()[:300],
    "a PNG of wrong pixels": lambda: written(Image.fromarray(COLOUR)).getvalue().replace(b"IDAT", b"IDAT\0", 1),
    "a PPM of wrong numbers": lambda: b"P3 16 16 255 " + b"256 " * 768,
    "a PPM of words": lambda: b"P6 16 sixteen 255\n" + bytes(768),
    "a PPM without pixels": lambda: b"P6 16 16 255\n",
    "an SGI file of an unknown mode": lambda: struct.pack(">HBBHHHH", 474, 0, 1, 9, 16, 16, 9) + bytes(1000),
    "an SGI file cut off": lambda: struct.pack(">HBBHHHH", 474, 1, 1, 3, 16, 16, 3) + bytes(500),
    "an AVIF file cut off": lambda: written(Image.fromarray(COLOUR), "avif").getvalue()[:-40],
    "a WebP file cut off": lambda: written(Image.fromarray(COLOUR), "webp").getvalue()[:60],
    "a program in PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\nshowpage\n",
}


@pytest.mark.parametrize("made", MAKERS)
def test_broken_pixels_are_one_error(made: str, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=f"^{tmp_path}/picture: (damaged picture|not a picture)") as caught:
        read_bytes(MAKERS[made](), tmp_path)
    assert "\n" not in str(caught.value)
