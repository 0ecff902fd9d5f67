"""What stands in picture files beside their pixels: colour profiles, orientation, and notes that nobody needs."""

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
import torch
from PIL import Image, ImageCms, ImageOps

from midms.pictures import PictureError, read, save, to_pil

GRADIENT = np.stack(np.meshgrid(np.arange(24) * 10, np.arange(16) * 15, indexing="xy"), -1)
COLOUR = np.concatenate([GRADIENT, 255 - GRADIENT[..., :1]], -1).astype(np.uint8)
P3 = profiles.of_rgb(profiles.DISPLAY_P3)
FORMATS: dict[str, dict[str, object]] = {
    "png": {},
    "tiff": {},
    "webp": {"lossless": True, "exact": True},
    "jpg": {"quality": 100, "subsampling": 0},
    **({"avif": {"quality": 100, "subsampling": "4:4:4"}} if ".avif" in Image.registered_extensions() else {}),
}
"""How a format keeps colours."""
LOSSY = {"jpg": 3, "avif": 2}
"""By how much of 255 it does not."""


def bytes_of(picture: torch.Tensor) -> np.ndarray:
    return ((picture[0].movedim(0, -1) + 1) * 127.5).round().numpy().astype(int)


def written(image: Image.Image, kind: str = "png", **more: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, Image.registered_extensions()[f".{kind}"], **more)
    return file


def read_bytes(content: bytes, folder: Path) -> np.ndarray:
    (folder / "picture").write_bytes(content)
    return bytes_of(read(folder / "picture"))


def assert_near(found: np.ndarray, expected: np.ndarray, most: int = 1) -> None:
    assert found.shape == expected.shape and abs(found - expected.astype(int)).max() <= most


@pytest.mark.parametrize("kind", FORMATS)
def test_colours_are_those_that_the_profile_means(kind: str, tmp_path: Path) -> None:
    """Display P3's (200, 30, 30) is sRGB's (218, 0, 6)."""
    red = Image.new("RGB", (16, 16), (200, 30, 30))
    save_as = {**FORMATS[kind], "icc_profile": P3}
    red.save(tmp_path / f"red.{kind}", **save_as)
    assert_near(bytes_of(read(tmp_path / f"red.{kind}")), np.full((16, 16, 3), (218, 0, 6)), LOSSY.get(kind, 0) + 1)
    Image.fromarray(COLOUR).save(tmp_path / f"all.{kind}", **save_as)
    linear = profiles.decoded(COLOUR / 255) @ profiles.to_xyz(profiles.DISPLAY_P3).T
    formula = 255 * profiles.encoded(linear @ np.linalg.inv(profiles.to_xyz(profiles.SRGB)).T)
    with Image.open(tmp_path / f"all.{kind}") as stored:
        pixels = np.asarray(stored.convert("RGB"))
    exact = profiles.decoded(pixels / 255) @ profiles.to_xyz(profiles.DISPLAY_P3).T
    exact = 255 * profiles.encoded(exact @ np.linalg.inv(profiles.to_xyz(profiles.SRGB)).T)
    assert_near(bytes_of(read(tmp_path / f"all.{kind}")), exact.round())
    assert abs(formula - COLOUR).max() > 30  # which would be wrong without a word


SPACES: dict[str, tuple[str, bytes]] = {
    "Adobe RGB": ("RGB", profiles.of_rgb(profiles.ADOBE_RGB, 2.2)),
    "linear": ("RGB", profiles.of_rgb(profiles.SRGB, 1.0)),
    "with alpha": ("RGBA", P3),
    "a palette": ("P", P3),
    "grey by a grey profile": ("L", profiles.of_grey(1.0)),
    "grey by a colour profile": ("L", profiles.of_rgb(profiles.SRGB, 1.0)),
    "grey with alpha": ("LA", profiles.of_grey(1.8)),
    "inks": ("CMYK", profiles.of_cmyk()),
}
"""Mode and profile."""


@pytest.mark.parametrize("space", SPACES)
def test_colours_are_as_little_cms_converts_them(space: str, tmp_path: Path) -> None:
    mode, profile = SPACES[space]
    image = Image.fromarray(COLOUR).convert(mode)
    if "A" in image.getbands():
        image.putalpha(Image.fromarray(COLOUR[..., 0]))
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    own = {"GRAY": "L", "CMYK": "CMYK"}.get(source.profile.xcolor_space, "RGB")
    for kind in ("png",) if mode in ("LA", "RGBA", "P") else ("tiff", "jpg"):
        path = tmp_path / f"picture.{kind}"
        image.save(path, icc_profile=profile, **FORMATS[kind])
        with Image.open(path) as stored:
            converted = ImageCms.profileToProfile(stored.convert(own), source, target, outputMode="RGB")
            assert abs(np.asarray(converted, int) - np.asarray(stored.convert("RGB"))).max() > 10
        if "A" in image.getbands():
            converted.putalpha(image.getchannel("A"))
        assert_near(bytes_of(read(path)), bytes_of(read(np.asarray(converted))), 0)


def test_deep_greys_keep_their_depth(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 16 * 24).round().astype(np.uint16).reshape(16, 24)
    meant = profiles.encoded((deep / 65535) ** 1.8)
    for kind in ("png", "tiff"):
        path = tmp_path / f"deep.{kind}"
        Image.fromarray(deep).save(path, icc_profile=profiles.of_grey(1.8))
        found = (read(path)[0, 0] + 1).numpy() / 2
        assert abs(found - meant)[deep > 1000].max() < 1.5 / 255
        assert len(np.unique(found)) > 300
        Image.fromarray(deep).save(path, icc_profile=b"no profile")
        assert torch.equal(read(path), read(deep))


UNUSED = {
    "sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "sRGB by another": profiles.of_rgb(profiles.SRGB),
    "cut off": P3[:200],
    "no profile": b"no profile",
    "one byte": b"x",
    "wrong offsets": P3[:132] + b"\xff" * 108 + P3[240:],
    "of grey": profiles.of_grey(1.0),
    "of inks": profiles.of_cmyk(),
    "of Lab": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
}


@pytest.mark.parametrize("profile", UNUSED)
def test_profiles_that_change_nothing_or_cannot_be_used(profile: str, tmp_path: Path) -> None:
    for kind, options in FORMATS.items():
        path = tmp_path / f"picture.{kind}"
        Image.fromarray(COLOUR).save(path, **options)
        without = read(path)
        Image.fromarray(COLOUR).save(path, icc_profile=UNUSED[profile], **options)
        assert torch.equal(read(path), without), kind


def test_results_have_no_profile(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "in.png", icc_profile=P3)
    for kind in FORMATS:
        save({tmp_path / f"out.{kind}": to_pil(read(tmp_path / "in.png"))})
        with Image.open(tmp_path / f"out.{kind}") as image:
            assert not image.info.get("icc_profile")


def exif_of(entries: list[tuple[int, int, int, bytes]], more: bytes = b"") -> bytes:
    """EXIF as bytes: tags, types, counts and values, in the file's order; what does not fit lies behind."""
    table = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + more


def short(number: int) -> bytes:
    return struct.pack("<H", number)


STRANGE: dict[str, bytes] = {
    "a resolution in words": exif_of([(0x0112, 3, 1, short(6)), (0x011A, 2, 4, b"hi!\0")]),
    "a broken width": exif_of([(0x0100, 11, 1, struct.pack("<f", 7.5)), (0x0112, 3, 1, short(6))]),
    "a width of twelve bytes": exif_of([(0x0100, 12, 1, struct.pack("<I", 9999)), (0x0112, 3, 1, short(6))]),
    "an unknown type": exif_of([(0x0112, 3, 1, short(6)), (0x010F, 77, 3, b"abc")]),
    "a maker far away": exif_of([(0x010F, 2, 1000, struct.pack("<I", 2**31)), (0x0112, 3, 1, short(6))]),
    "more tags than there are": exif_of([(0x0112, 3, 1, short(6))]).replace(b"\x08\0\0\0\x01\0", b"\x08\0\0\0\x63\0"),
    "a rational without a divisor": exif_of(
        [(0x0112, 3, 1, short(6)), (0x011A, 5, 1, struct.pack("<I", 38))], bytes(8)
    ),
    "a pointer to itself": exif_of([(0x0112, 3, 1, short(6)), (0x8769, 4, 1, struct.pack("<I", 8))]),
    "a long number": exif_of([(0x0112, 4, 1, struct.pack("<I", 6))]),
}
"""EXIF that holds orientation 6 and something that cannot be written again."""
CARRIERS = ("png", "jpg", "webp")
"""Formats into which Pillow puts EXIF as it is."""


@pytest.mark.parametrize("kind", FORMATS)
def test_photos_are_turned_upright_from_every_orientation(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{kind}"
    image = Image.fromarray(COLOUR).resize((48, 32))
    image.save(path, **FORMATS[kind])
    for orientation in (0, *range(1, 9), 9, 255, 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(path, exif=exif, **FORMATS[kind])
        with Image.open(path) as stored:
            expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
        assert expected.shape == ((48, 32, 3) if orientation in range(5, 9) else (32, 48, 3))
        assert_near(bytes_of(read(path)), expected, 0)


@pytest.mark.parametrize("strange", STRANGE)
def test_orientation_is_read_from_what_cannot_be_written_again(strange: str, tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR).resize((48, 32))
    for kind in CARRIERS:
        path = tmp_path / f"photo.{kind}"
        image.save(path, exif=b"Exif\0\0" + STRANGE[strange] if kind == "jpg" else STRANGE[strange], **FORMATS[kind])
        found = bytes_of(read(path))
        image.save(path, **FORMATS[kind])
        assert_near(found, np.rot90(bytes_of(read(path)), -1), 2 * LOSSY.get(kind, 0))


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"no exif",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        exif_of([(0x0112, 2, 2, b"6\0")]),
        exif_of([(0x0112, 3, 1, short(0x0600))]),
        exif_of([(0x0112, 11, 1, struct.pack("<f", np.nan))]),
        exif_of([(0x0112, 3, 0, b"")]),
        exif_of([(0x0112, 3, 2**31, b"")]),
    ],
    ids=lambda exif: exif[:60].hex() or "none",
)
def test_orientations_that_say_nothing_are_ignored(exif: bytes, tmp_path: Path) -> None:
    for kind in CARRIERS:
        path = tmp_path / f"photo.{kind}"
        Image.fromarray(COLOUR).save(path, **FORMATS[kind])
        expected = read(path)
        Image.fromarray(COLOUR).save(path, exif=b"Exif\0\0" + exif if kind == "jpg" else exif, **FORMATS[kind])
        assert torch.equal(read(path), expected)


@pytest.mark.skipif("avif" not in FORMATS, reason="Pillow was built without AVIF")
@pytest.mark.parametrize("strange", [*STRANGE, "none"])
def test_an_avif_is_turned_by_its_own_note_whatever_exif_says(strange: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "@" * 400
    image = Image.fromarray(COLOUR)
    for orientation in (1, 6):
        exif[0x0112] = orientation
        content = written(image, "avif", exif=exif, **FORMATS["avif"]).getvalue()
        start = content.rindex(b"Exif\0\0", 0, content.index(b"@@@@"))
        expected = read_bytes(content, tmp_path)
        note = b"Exif\0\0" + STRANGE.get(strange, b"nothing of this kind")
        found = read_bytes(content[:start] + note + content[start + len(note) :], tmp_path)
        assert_near(found, expected, 0)
        assert found.shape == ((24, 16, 3) if orientation == 6 else (16, 24, 3))


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_with(image: Image.Image, note: bytes, last: bool = False) -> bytes:
    """A PNG with a chunk after its header, or before its end."""
    content = written(image).getvalue()
    return content[:-12] + note + content[-12:] if last else content[:33] + note + content[33:]


MUCH = zlib.compress(bytes(2 * 2**20))
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
    expected = bytes_of(read(tmp_path / "whole.png"))
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
