"""Pictures for tests of files: written in every format, and read as bytes."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from midms.images import read_image

GRADIENT = np.stack(np.meshgrid(np.arange(24) * 10, np.arange(16) * 15, indexing="xy"), -1)
COLOUR = np.concatenate([GRADIENT, 255 - GRADIENT[..., :1]], -1).astype(np.uint8)
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


MUCH = zlib.compress(bytes(2 * 2**20))
"""Two megabytes of zeros, as PNG compresses them."""


def bytes_of(picture: torch.Tensor) -> np.ndarray:
    return ((picture[0].movedim(0, -1) + 1) * 127.5).round().numpy().astype(int)


def written(image: Image.Image, kind: str = "png", **more: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, Image.registered_extensions()[f".{kind}"], **more)
    return file


def read_bytes(content: bytes, folder: Path) -> np.ndarray:
    (folder / "picture").write_bytes(content)
    return bytes_of(read_image(folder / "picture"))


def assert_near(found: np.ndarray, expected: np.ndarray, most: int = 1) -> None:
    assert found.shape == expected.shape and abs(found - expected.astype(int)).max() <= most


def exif_of(entries: list[tuple[int, int, int, bytes]], more: bytes = b"") -> bytes:
    """EXIF as bytes: tags, types, counts and values, in the file's order; what does not fit lies behind."""
    table = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + more


def short(number: int) -> bytes:
    return struct.pack("<H", number)


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_with(image: Image.Image, note: bytes, last: bool = False) -> bytes:
    """A PNG with a chunk after its header, or before its end."""
    content = written(image).getvalue()
    return content[:-12] + note + content[-12:] if last else content[:33] + note + content[33:]


def png_of(depth: int, colour: int, rows: bytes, key: bytes = b"") -> bytes:
    """A PNG of sixteen columns and as many rows as there are, with the colour that its tRNS chunk makes transparent."""
    width = len(rows) // 16

    lines = b"".join(b"\0" + rows[start : start + width] for start in range(0, len(rows), width))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, depth, colour, 0, 0, 0))
    body = (chunk(b"tRNS", key) if key else b"") + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def tiff_of(bits: int, photometric: int, pixels: bytes, kind: int = 1) -> bytes:
    """A TIFF of 16 x 16 pixels in grey; the kind is 1 for whole numbers, 2 for signed ones, 3 for floats."""
    entries = {
        256: 16,
        257: 16,
        258: bits,
        259: 1,
        262: photometric,
        273: 0,
        277: 1,
        278: 16,
        279: len(pixels),
        339: kind,
    }
    entries[273] = 8 + 2 + 12 * len(entries) + 4
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + pixels
