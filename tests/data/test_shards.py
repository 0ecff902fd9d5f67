"""Members of tar files, against the standard library's reader; and files that are damaged or made to do harm."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midms.data.errors import DatasetError
from midms.data.shards import BLOCK, members
from midms.data.webdataset import expanded, shards

NAMES = ("a.jpg", "folder/b.png", "./c.jpg", "n" * 90 + ".jpg", "long/" * 60 + "d.jpg", "ünïcödé/é.jpg", "e")
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def archive(path: Path, kind: str, names: tuple[str, ...] = NAMES) -> Path:
    with tarfile.open(path, "w", format=FORMATS[kind]) as file:
        for i, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 100 * i, i + 0.5
            file.addfile(info, io.BytesIO(bytes([i]) * info.size))
            for kind_of_link in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
                link = tarfile.TarInfo(f"link{i}")
                link.type, link.linkname = kind_of_link, "/etc/passwd"
                file.addfile(link)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_members_are_those_that_the_standard_library_finds(tmp_path: Path, kind: str) -> None:
    names = tuple(name for name in NAMES if kind != "ustar" or len(name) < 250)
    path = archive(tmp_path / "a.tar", kind, names)
    with tarfile.open(path) as file:
        known = [(info.name, info.offset_data, info.size) for info in file if info.isreg()]
    assert [*members(path)] == known and [name for name, _, _ in known] == [*names]
    content = path.read_bytes()
    assert all(content[start : start + size] == bytes([i]) * size for i, (_, start, size) in enumerate(members(path)))


def header(**changes: object) -> bytes:
    """One header, with fields that the writer would not write."""
    info = tarfile.TarInfo("a.jpg")
    info.size = 8
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    for name, value in changes.items():
        start, length = {"size": (124, 12), "type": (156, 1), "name": (0, 100)}[name]
        assert isinstance(value, bytes)
        block[start : start + length] = value.ljust(length, b"\0")
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 32)
    return bytes(block)


LOOP = b"\xff" * 12  # -1 in base 256
HUGE = b"\x80" + bytes(3) + b"\x7f" * 8
NO_NOTE = "has a note that is no pax record"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "a size below nothing": (header(size=LOOP) + bytes(BLOCK), "'a.jpg' has -1 bytes"),
    "a size beyond the file": (header(size=b"77777777777\0") + bytes(BLOCK), "'a.jpg' has 8,589,934,591 bytes"),
    "a huge size": (header(size=HUGE) + bytes(BLOCK), "and the file ends after 512 of them"),
    "a huge name": (header(type=b"L", size=HUGE) + bytes(BLOCK), "and the file ends after 512 of them"),
    "a long note": (header(type=b"x", size=b"%011o\0" % 2**21) + bytes(2**21), "has a note of 2,097,152 bytes"),
    "a note without a length": (
        header(type=b"x") + b"abc=d efg".ljust(BLOCK, b"\0"),
        NO_NOTE,
    ),
    "a note beyond itself": (header(type=b"x") + b"99 a=bcd".ljust(BLOCK, b"\0"), NO_NOTE),
    "a size in words": (
        header(type=b"x", size=b"%011o\0" % 13) + b"13 size=many\n".ljust(BLOCK, b"\0") + header() + bytes(BLOCK),
        "is no tar file",
    ),
    "a size below nothing in a note": (
        header(type=b"x", size=b"%011o\0" % 11) + b"11 size=-9\n".ljust(BLOCK, b"\0") + header() + bytes(BLOCK),
        "'a.jpg' has -9 bytes",
    ),
    "another sum": (b"b" + header()[1:] + bytes(BLOCK), "is no tar file"),
    "noise": (bytes(i * 7919 % 251 + 1 for i in range(2 * BLOCK)), "is no tar file"),
    "a compressed tar file": (
        gzip.compress(header() + bytes(2**16)),
        "is compressed by gzip, expected a",
    ),
    "less than a header": (b"abc", "is cut short after 0 bytes"),
    "half a header": (header(size=b"0\0") + header()[:300], "is cut short after 512 bytes"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_whole_tar_file_is_told(tmp_path: Path, what: str) -> None:
    content, message = HOSTILE[what]
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DatasetError) as refused:
        [*members(tmp_path / "a.tar")]
    assert message in str(refused.value) and str(refused.value).startswith(str(tmp_path / "a.tar"))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_reading_ends_whatever_is_changed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.tar"
    content = bytearray(archive(path, "pax", NAMES[:2] + NAMES[4:5]).read_bytes()[: 12 * BLOCK])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    found = []
    try:
        for member in members(path):
            found.append(member)
    except DatasetError:
        pass
    assert len(found) <= len(content) // BLOCK
    assert all(min(start, size) >= 0 and start + size <= len(content) for _, start, size in found)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None], ids=["a folder", "nothing"])
def test_what_is_no_file_is_told(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "a.tar")
    with pytest.raises(DatasetError, match="cannot be read"):
        [*members(tmp_path / "a.tar")]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("{0..2}.tar", ["0.tar", "1.tar", "2.tar"]),
        ("x{008..011}.tar", ["x008.tar", "x009.tar", "x010.tar", "x011.tar"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}/{0..1}.tar", ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]),
        ("{a}.tar", ["{a}.tar"]),
        ("{a,{b,c}}", ["a", "b", "c"]),
    ],
)
def test_braces_are_expanded_as_shells_do(pattern: str, names: list[str]) -> None:
    assert sorted(set(expanded(pattern))) == sorted(names)


def test_a_pattern_of_too_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midms.data.webdataset._SHARDS", 1500)
    with pytest.raises(DatasetError, match="names more than 1,500 files"):
        expanded("{0..999}{0..999}")


def test_shards_are_a_file_a_folder_or_a_pattern(tmp_path: Path) -> None:
    for name in ("10.tar", "9.tar", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    both = [str(tmp_path / "9.tar"), str(tmp_path / "10.tar")]
    assert shards(tmp_path) == shards(tmp_path / "*.tar") == shards(f"{tmp_path}/{{9..10}}.tar") == both
    assert shards(tmp_path / "10.tar") == both[1:]
    with pytest.raises(DatasetError, match=r"11\.tar: no such tar file"):
        shards(f"{tmp_path}/{{9..11}}.tar")
