"""Picture files without the notes beside their pixels, for where a note is broken and the pixels are whole."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

END = b"\xff\xd9"
"""Of a JPEG."""
_FILL = 4096
"""Bytes that no group of blocks of a JPEG needs: ten, of 64 numbers of at most 27 bits."""
PNG, JPEG, TIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", (b"II*\0", b"MM\0*")
JP2, RESTRICTED = b"\0\0\0\x0cjP  \r\n\x87\n", (b"\2", b"\3")
"""How a JPEG 2000 begins, and the methods of a box of its colours that has an ICC profile."""
NOTE = 2**20
"""Bytes of a note, decompressed, that Pillow reads."""
PROFILE = 2**24
"""Bytes of the largest colour profile that is read."""
PIXELS = {
    *range(254, 260),
    262,
    266,
    273,
    *range(277, 280),
    284,
    292,
    293,
    *range(317, 326),
    332,
    *range(336, 340),
    347,
}
PIXELS |= {*range(512, 522), 530, 531, 532}
"""Tags without which a TIFF's pixels cannot be read (TIFF 6.0)."""
ORIENTATION, _COLOURS = 274, 34675
KEYS = {0: 2, 2: 6}
"""Bytes of the colour that a PNG's tRNS chunk makes transparent, for grey and for RGB."""
NUMBERS = {1: "B", 3: "H", 4: "I"}
"""Types of EXIF that are whole numbers."""


def bare(content: bytes) -> bytes | None:
    """The file with pixels, orientation and colour profile alone, or without these too where they are broken.

    Args:
        content: of the whole file.

    Returns:
        None for a format whose notes cannot be left out.
    """
    if content.startswith(PNG):
        key = KEYS.get(content[25], 0) if len(content) > 25 else 0
        return PNG + b"".join(chunk for kind, chunk in _chunks(content) if _kept(kind, chunk, key))
    if content.startswith(JPEG):
        return JPEG + b"".join(_segments(content))
    if content.startswith(TIFF):
        return _tagged(content)
    if content[4:8] == b"ftyp":
        return content.replace(b"Exif", b"none")  # of an item that is of no kind nothing is read
    return None


def completed(content: bytes) -> tuple[bytes, ...]:
    """The file as it may have been before it was cut off; its pixels are whole if all of these show the same.

    A JPEG without its mark of the end gets it, after nothing and after bits that become pixels if any are missing. One
    whose last passes over the pixels are missing altogether is not completed.
    """
    if not content.startswith(JPEG) or content.endswith(END):
        return (content,)
    *heads, scans = _segments(content)
    passes = [scan[2:] for scan in scans.split(b"\xff\xda")[1:]]
    fine: set[tuple[int, int]] = set()
    for passed in passes:
        last = 1 + 2 * passed[0]
        if not passed[last + 2] & 15:  # to the last bit
            fine |= {(one, order) for one in passed[1:last:2] for order in range(passed[last], passed[last + 1] + 1)}
    planes = next(head[9] for head in heads if head[1] in range(0xC0, 0xC4))
    if len(fine) < 64 * planes:
        return (content,)
    return tuple(content.removesuffix(END[:1]) + _FILL * bits + END for bits in (b"", b"\x55", b"\xaa"))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and whole of each chunk of a PNG; what is cut off at the end is left as it is."""
    start = len(PNG)
    while start < len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8].ljust(8, b"\0"))
        yield kind, content[start : start + length + 12]
        start += length + 12


def _kept(kind: bytes, chunk: bytes, key: int) -> bool:
    if kind[:1].isupper():
        return True
    if kind == b"tRNS":
        return len(chunk) >= key + 12
    whole = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
    return whole and (kind == b"eXIf" or (kind == b"iCCP" and 0 < len(_inflated(chunk)) < NOTE))


def _inflated(chunk: bytes) -> bytes:
    """What a chunk has compressed after its name, or nothing."""
    try:
        return zlib.decompressobj().decompress(chunk[8:-4].partition(b"\0")[2][1:], PROFILE)
    except zlib.error:
        return b""


def profile(content: bytes) -> bytes | None:
    """The colour profile of a PNG, which may be larger than Pillow reads, or of a JPEG 2000, where it reads none."""
    if content.startswith(JP2):
        colours = (box for kind, box in _boxes(_box(content, b"jp2h")) if kind == b"colr")
        return next((box[3:] for box in colours if box[:1] in RESTRICTED), None)
    found = (_inflated(chunk) for kind, chunk in _chunks(content) if kind == b"iCCP")
    return next(found, None) if content.startswith(PNG) else None


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box of a JPEG 2000 (ISO/IEC 15444-1, annex I)."""
    start = 0
    while start + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        if length < 8:  # to the end of the file, or of more than 4 GiB
            return
        yield kind, content[start + 8 : start + length]
        start += length


def _box(content: bytes, wanted: bytes) -> bytes:
    return next((box for kind, box in _boxes(content) if kind == wanted), b"")


def _segments(content: bytes) -> Iterator[bytes]:
    """A JPEG's segments, of those for applications the well-formed ones that say how to show the pixels."""
    start = len(JPEG)
    while content[start : start + 1] == b"\xff" and (marker := content[start + 1 : start + 2]) not in (b"\xda", b""):
        if marker == b"\xff":  # fills
            start += 1
            continue
        end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        body = content[start + 4 : end]
        kept = {
            b"\xe0": body.startswith(b"JFIF\0") and len(body) >= 14,
            b"\xe1": body.startswith(b"Exif\0\0"),
            b"\xe2": body.startswith(b"ICC_PROFILE\0") and len(body) > 14,
            b"\xee": body.startswith(b"Adobe") and len(body) >= 12,
        }
        if kept.get(marker, not b"\xe0" <= marker <= b"\xef" and marker != b"\xfe"):
            yield content[start:end]
        start = end
    yield content[start:]


def _tagged(content: bytes) -> bytes:
    """A TIFF whose first directory has the tags of its pixels alone, with orientation and profile where well-formed."""
    order = "<" if content.startswith(b"II") else ">"
    start = struct.unpack_from(order + "I", content, 4)[0]
    count = struct.unpack_from(order + "H", content, start)[0] if start + 2 <= len(content) else 0
    entries = [content[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)]
    kept = []
    for entry in entries:
        tag, kind, number = struct.unpack(order + "HHI", entry[:8].ljust(8, b"\0"))
        well_formed = (tag == ORIENTATION and (kind, number) == (3, 1)) or (tag == _COLOURS and kind == 7)
        if tag in PIXELS or well_formed:
            kept.append(entry)
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    return content[:start] + directory + content[start + len(directory) :]


def orientation_of(exif: bytes) -> int | None:
    """The orientation that EXIF tells, whatever its other tags are.

    Raises:
        struct.error: it is no EXIF.
    """
    content = exif.removeprefix(b"Exif\0\0")
    order = "<" if content.startswith(b"II") else ">"
    start = struct.unpack_from(order + "I", content, 4)[0]
    for entry in range(struct.unpack_from(order + "H", content, start)[0]):
        tag, kind, count = struct.unpack_from(order + "HHI", content, start + 2 + 12 * entry)
        if tag == ORIENTATION and count and kind in NUMBERS:
            return int(struct.unpack_from(order + NUMBERS[kind], content, start + 10 + 12 * entry)[0])
    return None
