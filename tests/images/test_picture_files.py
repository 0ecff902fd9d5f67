"""What stands in picture files beside their pixels and is heeded: colour profiles and orientation."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import profiles
import pytest
import torch
from picture_files import COLOUR, FORMATS, LOSSY, assert_near, bytes_of, exif_of, read_bytes, short, written
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from midms.images import read_image, save_images, to_pil

P3 = profiles.of_rgb(profiles.DISPLAY_P3)


@pytest.mark.parametrize("kind", FORMATS)
def test_colours_are_those_that_the_profile_means(kind: str, tmp_path: Path) -> None:
    """Display P3's (200, 30, 30) is sRGB's (218, 0, 6)."""
    red = Image.new("RGB", (16, 16), (200, 30, 30))
    save_as = {**FORMATS[kind], "icc_profile": P3}
    red.save(tmp_path / f"red.{kind}", **save_as)
    assert_near(
        bytes_of(read_image(tmp_path / f"red.{kind}")), np.full((16, 16, 3), (218, 0, 6)), LOSSY.get(kind, 0) + 1
    )
    Image.fromarray(COLOUR).save(tmp_path / f"all.{kind}", **save_as)
    linear = profiles.decoded(COLOUR / 255) @ profiles.to_xyz(profiles.DISPLAY_P3).T
    formula = 255 * profiles.encoded(linear @ np.linalg.inv(profiles.to_xyz(profiles.SRGB)).T)
    with Image.open(tmp_path / f"all.{kind}") as stored:
        pixels = np.asarray(stored.convert("RGB"))
    exact = profiles.decoded(pixels / 255) @ profiles.to_xyz(profiles.DISPLAY_P3).T
    exact = 255 * profiles.encoded(exact @ np.linalg.inv(profiles.to_xyz(profiles.SRGB)).T)
    assert_near(bytes_of(read_image(tmp_path / f"all.{kind}")), exact.round())
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


def test_the_profile_of_a_jpeg_2000_is_heeded(tmp_path: Path) -> None:
    """In its box of colours, which Pillow passes over."""
    Image.new("RGB", (16, 16), (200, 30, 30)).save(tmp_path / "plain.jp2", irreversible=False)
    content = (tmp_path / "plain.jp2").read_bytes()
    at = content.index(b"jp2h") - 4
    head = content[at : at + int.from_bytes(content[at : at + 4], "big")]
    colours = head.index(b"colr") - 4
    size = int.from_bytes(head[colours : colours + 4], "big")
    box = (len(P3) + 11).to_bytes(4, "big") + b"colr\2\0\0" + P3
    body = head[8:colours] + box + head[colours + size :]
    whole = content[:at] + (len(body) + 8).to_bytes(4, "big") + b"jp2h" + body + content[at + len(head) :]
    (tmp_path / "p3.jp2").write_bytes(whole)
    assert_near(bytes_of(read_image(tmp_path / "p3.jp2")), np.full((16, 16, 3), (218, 0, 6)), 1)
    assert_near(bytes_of(read_image(tmp_path / "plain.jp2")), np.full((16, 16, 3), (200, 30, 30)), 0)


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
        assert_near(bytes_of(read_image(path)), bytes_of(read_image(np.asarray(converted))), 0)


def test_deep_greys_keep_their_depth(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 16 * 24).round().astype(np.uint16).reshape(16, 24)
    meant = profiles.encoded((deep / 65535) ** 1.8)
    for kind in ("png", "tiff"):
        path = tmp_path / f"deep.{kind}"
        Image.fromarray(deep).save(path, icc_profile=profiles.of_grey(1.8))
        found = (read_image(path)[0, 0] + 1).numpy() / 2
        assert abs(found - meant)[deep > 1000].max() < 1.5 / 255
        assert len(np.unique(found)) > 300
        Image.fromarray(deep).save(path, icc_profile=b"no profile")
        assert torch.equal(read_image(path), read_image(deep))


UNUSED = {
    "sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "sRGB by another": profiles.of_rgb(profiles.SRGB),
    "cut off": P3[:200],
    "no profile": b"no profile",
    "one byte": b"x",
    "wrong offsets": P3[:132] + b"\xff" * 108 + P3[240:],
    "of grey": profiles.of_grey(1.0),
    "of inks": profiles.of_cmyk(),
    "with one colour for all": profiles.of_rgb(profiles.SRGB, 0.0),
    "with next to none": profiles.of_rgb(profiles.SRGB, 255.0),
    "of grey that is all white": profiles.of_grey(0.0),
    "of Lab": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
}


@pytest.mark.parametrize("profile", UNUSED)
def test_profiles_that_change_nothing_or_cannot_be_used(profile: str, tmp_path: Path) -> None:
    for kind, options in FORMATS.items():
        path = tmp_path / f"picture.{kind}"
        Image.fromarray(COLOUR).save(path, **options)
        without = read_image(path)
        Image.fromarray(COLOUR).save(path, icc_profile=UNUSED[profile], **options)
        assert torch.equal(read_image(path), without), kind


def test_results_have_no_profile(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "in.png", icc_profile=P3)
    for kind in FORMATS:
        save_images({tmp_path / f"out.{kind}": to_pil(read_image(tmp_path / "in.png"))})
        with Image.open(tmp_path / f"out.{kind}") as image:
            assert not image.info.get("icc_profile")


def test_a_phones_photo_of_108_megapixels_is_read_at_a_fraction(tmp_path: Path) -> None:
    photo = Image.new("L", (12000, 9000), 40)
    photo.paste(220, (0, 0, 6000, 9000))
    photo.save(tmp_path / "photo.jpg")
    found = bytes_of(read_image(tmp_path / "photo.jpg"))
    assert 1500 <= found.shape[1] < 6000 and abs(found.shape[1] / found.shape[0] - 4 / 3) < 0.01
    middle = found.shape[1] // 2
    assert_near(found[:, : middle - 8], np.full_like(found[:, : middle - 8], 220), 1)
    assert_near(found[:, middle + 8 :], np.full_like(found[:, middle + 8 :], 40), 1)


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
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
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
        assert_near(bytes_of(read_image(path)), expected, 0)


@pytest.mark.parametrize("strange", STRANGE)
def test_orientation_is_read_from_what_cannot_be_written_again(strange: str, tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR).resize((48, 32))
    for kind in CARRIERS:
        path = tmp_path / f"photo.{kind}"
        image.save(path, exif=b"Exif\0\0" + STRANGE[strange] if kind == "jpg" else STRANGE[strange], **FORMATS[kind])
        found = bytes_of(read_image(path))
        image.save(path, **FORMATS[kind])
        assert_near(found, np.rot90(bytes_of(read_image(path)), -1), 2 * LOSSY.get(kind, 0))


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
        expected = read_image(path)
        Image.fromarray(COLOUR).save(path, exif=b"Exif\0\0" + exif if kind == "jpg" else exif, **FORMATS[kind])
        assert torch.equal(read_image(path), expected)


@pytest.mark.parametrize("beside", [None, 1, 8], ids=["silent", "upright", "another"])
def test_xmp_tells_the_orientation_where_exif_does_not(beside: int | None, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    if beside is not None:
        exif[0x0112] = beside
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
    Image.fromarray(COLOUR).save(tmp_path / "photo.png", exif=exif, pnginfo=notes)
    turns = {None: 3, 1: 0, 8: 1}  # quarters against the clock; XMP's 6 counts where EXIF is silent
    with Image.open(tmp_path / "photo.png") as stored:
        expected = np.rot90(np.asarray(stored), turns[beside])
    assert_near(bytes_of(read_image(tmp_path / "photo.png")), expected, 0)


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
