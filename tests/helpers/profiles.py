"""Colour profiles for tests, written from the ICC's specification (ICC.1:2001-04), and sRGB by its formula."""

from __future__ import annotations

import struct

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
D65 = (0.3127, 0.3290)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """From linear colours of these primaries and white D65 to XYZ."""
    columns = np.stack([xyz(*primary) for primary in primaries], 1)
    return columns * np.linalg.solve(columns, xyz(*D65))


def encoded(linear: np.ndarray) -> np.ndarray:
    """Light as sRGB has it (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decoded(values: np.ndarray) -> np.ndarray:
    """The inverse."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def _curve(gamma: float | None) -> bytes:
    """A power, or sRGB's curve as 1024 steps."""
    if gamma is not None:
        return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    steps = (decoded(np.linspace(0, 1, 1024)) * 65535).round().astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(steps)) + steps.tobytes()


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50),
        **tags,
    }
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = bytes(8) + struct.pack(">I", 0x02100000) + kind + space + connection + bytes(12) + b"acsp" + bytes(28)
    head += _fixed(*D50) + bytes(48)
    return struct.pack(">I", len(head) + len(table) + len(data)) + head[4:] + table + data


def of_rgb(primaries: tuple[tuple[float, float], ...], gamma: float | None = None) -> bytes:
    """A profile of a display; by default with sRGB's curve."""
    white = BRADFORD @ xyz(*D65)
    adapted = np.linalg.inv(BRADFORD) @ np.diag(BRADFORD @ D50 / white) @ BRADFORD @ to_xyz(primaries)
    columns = {name + b"XYZ": b"XYZ " + bytes(4) + _fixed(*adapted[:, i]) for i, name in enumerate((b"r", b"g", b"b"))}
    return _profile(b"mntr", b"RGB ", b"XYZ ", columns | {name + b"TRC": _curve(gamma) for name in (b"r", b"g", b"b")})


def of_grey(gamma: float | None) -> bytes:
    """A profile of grey pictures."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def of_cmyk() -> bytes:
    """A profile of a printer whose inks are weak: a table of two steps an ink, in Lab."""
    table = bytearray()
    for ink in np.ndindex(2, 2, 2, 2):
        cyan, magenta, yellow, black = ink
        light = 250 - 60 * (cyan + magenta) - 15 * yellow - 100 * black
        table += bytes([max(light, 5), 128 - 40 * cyan + 50 * magenta, 128 - 30 * cyan + 60 * yellow])
    straight = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + 4 * straight + table
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut + 3 * straight})
