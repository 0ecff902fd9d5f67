"""Pictures, label maps and keypoints that mean harm, or were harmed: refused in a line, soon, in little memory."""

from __future__ import annotations

import json
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile import outcome, refused
from picture_files import MUCH, chunk, png_with, written
from PIL import Image, ImageDraw

SCRATCH = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
NOISE = Image.fromarray(SCRATCH)
ICO = struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, 99, 22)
PSD = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3)


def png_of(width: int, height: int, depth: int = 8, colour: int = 2, pixels: bytes = b"") -> bytes:
    """A PNG that says it is as large."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_of(*tags: tuple[int, int, int, int]) -> bytes:
    table = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + table + bytes(4)


def damaged(kind: str, start: int, **more: object) -> bytes:
    """A file whose second half is noise."""
    content = written(NOISE, kind, **more).getvalue()
    return content[:start] + np.random.default_rng(1).bytes(len(content) - start)


def large(kind: str, size: bytes, instead: bytes) -> bytes:
    """A file that says that it has other sides than 64 pixels."""
    content = written(NOISE, kind).getvalue()
    assert size in content
    return content.replace(size, instead)


def bomb() -> bytes:
    """A PNG of 30000 x 30000 pixels in three megabytes and less."""
    squeeze = zlib.compressobj(9)
    pixels = b"".join(squeeze.compress(bytes(2**20)) for _ in range(64)) + squeeze.flush()
    return png_of(30000, 30000).replace(chunk(b"IDAT", zlib.compress(b"")), chunk(b"IDAT", pixels))


PICTURES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "words": lambda: b"a picture of a cat\n" * 100,
    "noise": lambda: SCRATCH.tobytes(),
    "a PNG cut off": lambda: written(NOISE).getvalue()[:5000],
    "a PNG of noise": lambda: damaged("png", 60),
    "a PNG that ends in its head": lambda: png_of(64, 64)[:30],
    "a PNG of 30000 x 30000 pixels": bomb,
    "a PNG of 2**31 pixels a side": lambda: png_of(2**31 - 1, 2**31 - 1),
    "a PNG of no pixels": lambda: png_of(0, 0),
    "a PNG of one line": lambda: png_of(100_000, 1),
    "a PNG of an unknown depth": lambda: png_of(64, 64, 7),
    "a PNG of an unknown colour": lambda: png_of(64, 64, 8, 5),
    "a PNG without pixels": lambda: png_of(4096, 4096),
    "a PNG with much text and no pixels": lambda: png_with(NOISE, chunk(b"zTXt", b"a\0\0" + MUCH))[:9000],
    "a JPEG cut off": lambda: written(NOISE, "jpg").getvalue()[:400],
    "a JPEG of noise": lambda: damaged("jpg", 20),
    "a JPEG of 65500 x 65500 pixels": lambda: large("jpg", b"\0\x40\0\x40\3", b"\xff\xdc\xff\xdc\3"),
    "a JPEG of empty segments": lambda: b"\xff\xd8" + b"\xff\xe1\0\2" * 100_000,
    "a GIF cut off": lambda: written(NOISE, "gif").getvalue()[:700],
    "a GIF of 65535 x 65535 pixels": lambda: large("gif", b"\x40\0\x40\0", b"\xff" * 4),
    "a BMP of 2**31 pixels a side": lambda: large("bmp", b"\x40\0\0\0\x40\0\0\0", b"\xff\xff\xff\x7f" * 2),
    "a TIFF whose directory is its own next": lambda: tiff_of((256, 4, 1, 64))[:-4] + struct.pack("<I", 8),
    "a TIFF of 2**32 pixels a side": lambda: tiff_of((256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1), (262, 3, 1, 1)),
    "a TIFF without an end of tags": lambda: tiff_of((256, 4, 1, 64)).replace(b"\x01\0", b"\xff\xff", 1),
    "a TIFF of billions of strips": lambda: tiff_of(
        (256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 2**31, 8), (279, 4, 2**31, 8)
    ),
    "a TIFF of noise": lambda: damaged("tiff", 200, compression="tiff_lzw"),
    "a TIFF of deflated noise": lambda: damaged("tiff", 200, compression="tiff_adobe_deflate"),
    "a WebP cut off": lambda: written(NOISE, "webp").getvalue()[:200],
    "a WebP of noise": lambda: damaged("webp", 30, lossless=True),
    "an AVIF of noise": lambda: damaged("avif", 200),
    "a JPEG 2000 of noise": lambda: damaged("jp2", 100),
    "a PPM of 10**9 pixels a side": lambda: b"P6 1000000000 1000000000 255\n",
    "a PPM of endless numbers": lambda: b"P3 " + b"9" * 10**6,
    "a PPM of comments": lambda: b"P6 " + b"#\n" * 10**6,
    "an SGI of 65535 x 65535 pixels": lambda: struct.pack(">HBBHHHH", 474, 1, 1, 3, 65535, 65535, 3) + bytes(500),
    "a TGA of noise": lambda: bytes([0, 0, 10, *[0] * 9, 64, 0, 64, 0, 24, 0]) + SCRATCH.tobytes()[:500],
    "an ICO of a large PNG": lambda: ICO + png_of(60000, 60000),
    "a PSD of many layers": lambda: PSD + bytes(8) + b"\xff" * 400,
    "a DDS of 2**31 pixels a side": lambda: b"DDS " + struct.pack("<IIII", 124, 0x1007, 2**31, 2**31) + bytes(108),
    "a PCX of noise": lambda: bytes([10, 5, 1, 8, 0, 0, 0, 0, 255, 255, 255, 255]) + SCRATCH.tobytes()[:500],
    "an animation of other sizes": lambda: damaged("gif", 40, save_all=True, append_images=[NOISE] * 3),
    "a program in PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n{} loop\n",
}  # fmt: skip


def drawing(path: Path) -> Path:
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse([12, 8, 52, 58], outline="black", width=3)
    image.save(path)
    return path


@pytest.mark.parametrize("picture", PICTURES)
def test_pictures(picture: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(PICTURES[picture]())
    line = refused(
        ["translate", "--condition", drawing(tmp_path / "a.png"), "--exemplar", bad, "--out", "out.png"], tmp_path
    )
    assert line.startswith(f"midms: {bad}: ")


PLACES = ("--condition", "--exemplar", "--region", "--exemplar-condition", "--exemplar-region")


@pytest.mark.parametrize("option", PLACES)
def test_a_bad_picture_in_every_place(option: str, tmp_path: Path) -> None:
    bad, fine = tmp_path / "bad.png", drawing(tmp_path / "fine.png")
    bad.write_bytes(b"no picture")
    places = dict.fromkeys(PLACES, fine) | {option: bad}
    more = {"--exemplar": fine, "--region": fine}  # of a second exemplar
    arguments = [word for given in (places, more) for place in given.items() for word in place]
    assert refused(["translate", *arguments, "--out", "out.png"], tmp_path).startswith(f"midms: {bad}: not a picture")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "self.png").symlink_to("self.png")
    with socket.socket(socket.AF_UNIX) as listening, (tmp_path / "large.png").open("wb") as large:
        listening.bind(str(tmp_path / "socket.png"))
        large.write(b"RIFF\0\0\0\0WEBPVP8 ")
        large.truncate(2**34)
        fine = drawing(tmp_path / "fine.png")
        for name in ("pipe.png", "zero.png", "self.png", "socket.png", "large.png", "n" * 300, "/dev/stdin"):
            for one, other in ((fine, name), (name, fine)):
                line = refused(["translate", "--condition", one, "--exemplar", other, "--out", "out.png"], tmp_path)
                assert name in line


@pytest.mark.parametrize(("mode", "size"), [("I;16", (5000, 6000)), ("1", (8000, 8000)), ("RGBA", (5000, 5000))])
def test_large_pictures_in_small_files(mode: str, size: tuple[int, int], tmp_path: Path) -> None:
    """They are read, before what comes next is refused."""
    Image.new(mode, size).save(tmp_path / "large.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    arguments = ["--exemplar", tmp_path / "large.png", "--exemplar", tmp_path / "bad.png", "--out", "out.png"]
    line = refused(["translate", "--condition", drawing(tmp_path / "a.png"), *arguments], tmp_path)
    assert "bad.png: not a picture" in line


def test_a_large_label_map_in_a_small_file(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000), 1).save(tmp_path / "large.png")
    pair = ["--condition", tmp_path / "large.png", "--exemplar-condition", tmp_path / "large.png"]
    arguments = [*pair, "--exemplar", drawing(tmp_path / "a.png"), "--out", "out.png", "--preset", "midm-celeba"]
    assert "large.png: shows no face" in refused(["translate", *arguments], tmp_path)


def person(*numbers: object) -> bytes:
    return json.dumps({"people": [{"pose_keypoints_2d": [*numbers]}]}).encode()


KEYPOINTS: dict[str, bytes] = {
    "nothing": b"",
    "words": b"nose 3 4",
    "noise": SCRATCH.tobytes(),
    "no Unicode": b'{"people": "\xff\xfe"}',
    "cut off": person(*[1.0] * 54)[:90],
    "a list": b"[1, 2, 3]",
    "an empty list": b"[]",
    "a number": b"5",
    "a word": b'"people"',
    "null": b"null",
    "other keys": b'{"persons": []}',
    "nobody": b'{"people": []}',
    "people as a mapping": b'{"people": {"0": {}}}',
    "people as null": b'{"people": null}',
    "a person as a list": b'{"people": [[1, 2, 3]]}',
    "a person without joints": b'{"people": [{}]}',
    "joints as a mapping": b'{"people": [{"pose_keypoints_2d": {"nose": 1}}]}',
    "joints as words": person(*["1.0"] * 54),
    "joints as truths": person(*[True] * 54),
    "joints as lists": person(*[[1, 2, 3]] * 18),
    "null for a joint": person(*[None] * 54),
    "too few joints": person(*[1.0] * 51),
    "too many joints": person(*[1.0] * 411),
    "no joint found": person(*[0.0] * 54),
    "not a number": b'{"people": [{"pose_keypoints_2d": [' + b", ".join([b"NaN"] * 54) + b"]}]}",
    "infinite": b'{"people": [{"pose_keypoints_2d": [' + b", ".join([b"Infinity"] * 54) + b"]}]}",
    "beyond all floats": b'{"people": [{"pose_keypoints_2d": [' + b", ".join([b"1e999"] * 54) + b"]}]}",
    "beyond float32": person(*[1e300] * 54),
    "whole numbers beyond floats": b'{"people": [{"pose_keypoints_2d": [' + b", ".join([b"9" * 400] * 54) + b"]}]}",
    "a number of many digits": b'{"people": ' + b"9" * 100_000 + b"}",
    "far outside": person(*[99999.0, 5.0, 1.0] * 18),
    "a canvas of words": b'{"canvas_height": "256", "canvas_width": 256, ' + person(*[1.0] * 54)[1:],
    "a canvas of nothing": b'{"canvas_height": 0, "canvas_width": 0, ' + person(*[1.0] * 54)[1:],
    "a canvas below nothing": b'{"canvas_height": -256, "canvas_width": -256, ' + person(*[1.0] * 54)[1:],
    "a canvas without an end": b'{"canvas_height": 1, "canvas_width": 1000000000000, ' + person(*[1.0] * 54)[1:],
    "nested without an end": b"[" * 100_000,
    "mappings in mappings": b'{"people":' * 50_000,
    "many people": b'{"people": [' + b"{}," * 10**6 + b"{}]}",
    "many joints": person(*["1"] * 10**6),
    "more than a file may have": b'{"people": [' + b"1," * 10**7 + b"1]}",
}


@pytest.mark.parametrize("kind", KEYPOINTS)
def test_keypoints(kind: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_bytes(KEYPOINTS[kind])
    arguments = ["--condition", bad, "--exemplar", drawing(tmp_path / "a.png"), "--exemplar-condition", bad]
    line = refused(["translate", "--preset", "midm-deepfashion", *arguments, "--out", "out.png"], tmp_path)
    assert line.startswith(f"midms: {bad}: ") and len(line) < 500


def test_keypoints_that_are_no_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "zero.json", "gone.json"):
        arguments = ["--condition", tmp_path / name, "--exemplar", drawing(tmp_path / "a.png"), "--out", "out.png"]
        assert name in refused(["translate", "--preset", "midm-deepfashion", *arguments], tmp_path)


def test_a_folder_with_hostile_pictures_loses_only_these(tmp_path: Path) -> None:
    for folder in ("sketches", "photos"):
        (tmp_path / folder).mkdir()
    for i, make in enumerate(PICTURES.values()):
        if i % 4 == 0:
            drawing(tmp_path / "sketches" / f"{i}.png")
            (tmp_path / "photos" / f"{i}.png").write_bytes(make())
    for name in ("fine", "last"):
        drawing(tmp_path / "sketches" / f"{name}.png")
        NOISE.save(tmp_path / "photos" / f"{name}.png")
    bad = len(list((tmp_path / "photos").iterdir())) - 2
    said = outcome(["translate", "--condition", "sketches", "--exemplar", "photos", "--out", "out"], tmp_path)
    assert said.status == 2 and said.changed == ["out", "out/fine.png", "out/last.png"], said
    assert len([line for line in said.err if line.startswith("midms: photos/")]) == bad
    assert not any("Traceback" in line for line in said.err)
