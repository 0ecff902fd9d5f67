"""Tar files: which files are in them and where, read header by header. Nothing is unpacked."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from midms.core.files import check_regular
from midms.data.errors import DatasetError

BLOCK = tarfile.BLOCKSIZE
_EXTENDED = 2**20
"""Bytes of the longest note before a member, such as a long name, that is read."""
_SPARSE = "sparse"
"""The note of a member that is stored with its zeros left out, and so is not what lies there."""
_WITHOUT_CONTENT = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Member(NamedTuple):
    """A file in a tar file.

    Attributes:
        name: with its folders.
        start: its first byte in the tar file.
        size: in bytes.
    """

    name: str
    start: int
    size: int


def members(path: Path) -> Iterator[Member]:
    """The regular files in a tar file, in their order; links, devices and folders are left out.

    Names and sizes may be in the notes of POSIX's pax format or GNU's for long names. A size is believed if so many
    bytes are there, so that reading ends whatever the headers say.

    Args:
        path: of the tar file.

    Yields:
        A file after the other.

    Raises:
        DatasetError: it cannot be read, is compressed, is no tar file, or ends within a member.
    """
    try:
        check_regular(path, float("inf"))
        end = path.stat().st_size
        with path.open("rb") as file:
            yield from _walked(file, path, end)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from None


def _walked(file: BinaryIO, path: Path, end: int) -> Iterator[Member]:
    beginning = file.read(BLOCK)
    if kind := next((kind for start, kind in _COMPRESSED.items() if beginning.startswith(start)), ""):
        raise DatasetError(f"{path}: is compressed by {kind}, expected a plain tar file")
    place, notes = 0, dict[str, str]()
    while place + BLOCK <= end:
        file.seek(place)
        block = file.read(BLOCK)
        if not any(block):  # the mark of the end
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            size = int(notes["size"]) if "size" in notes else header.size
        except (tarfile.HeaderError, ValueError) as error:
            raise DatasetError(f"{path}: is no tar file ({error}), at byte {place:,}") from None
        start = place + BLOCK
        size = 0 if header.type in _WITHOUT_CONTENT else size
        if not 0 <= size <= end - start:
            raise DatasetError(
                f"{path}: {header.name!r} has {size:,} bytes, and the file ends after {end - start:,} of them"
            )
        if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            if size > _EXTENDED:
                raise DatasetError(f"{path}: has a note of {size:,} bytes, expected at most {_EXTENDED:,}")
            content = file.read(size)
            is_name = header.type == tarfile.GNUTYPE_LONGNAME
            name = content.split(b"\0")[0].decode("utf-8", "surrogateescape")
            notes |= {"path": name} if is_name else _records(content, path)
        else:
            if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and _SPARSE not in notes:
                yield Member(notes.get("path", header.name), start, size)
            if header.type != tarfile.XGLTYPE:
                notes = {}
        place = start + -(-size // BLOCK) * BLOCK
    if place != end:
        raise DatasetError(f"{path}: is cut short after {min(place, end):,} bytes")


def _records(content: bytes, path: Path) -> dict[str, str]:
    """What is used of the notes of a pax header, each of which is "length key=value" and a line.

    Raises:
        DatasetError: they are written otherwise.
    """
    found = {}
    while content.strip(b"\0"):
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not len(length) + 2 <= (count := int(length[:9])) <= len(content):
            raise DatasetError(f"{path}: has a note that is no pax record, {content[:20]!r}")
        key, _, value = content[len(length) + 1 : count - 1].partition(b"=")
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        elif key.startswith(b"GNU.sparse"):
            found[_SPARSE] = ""
        content = content[count:]
    return found
