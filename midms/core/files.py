"""Files that are written whole or not at all, and folders that one process at a time writes to."""

from __future__ import annotations

import datetime
import errno
import hashlib
import math
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from midms.core.errors import MidmsError

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_LEFT = re.compile(rf"\.(\d+)-{HOST}\..*\.part")
"""What a folder is called in which a process of this machine writes a file before it has its name."""
LOCK = ".lock"
_KINDS = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
"""What people call what a path may lead to; anything else is a device."""
MAX_BYTES = 16 * 2**20
"""Bytes of the largest file of settings or records that is read."""


class HeldError(MidmsError, RuntimeError):
    """A folder that another process writes to; the message says which."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A place on the same disk to write to; it becomes `path` at the end, or disappears if there was an error.

    Args:
        path: to be written; what it held stays until the end. Of a link, what it leads to is written; the link stays.

    Yields:
        The place, with the same name.

    Raises:
        OSError: it cannot be written, is no regular file, or is a link that leads round to itself; names a file.
    """
    target = _file(path)
    try:
        with scratch(target.parent) as aside:  # libraries leave files of their own
            (part := aside / path.name).touch()
            usual = part.stat().st_mode  # safetensors writes files that nobody else may read
            yield part
            part.chmod(usual)
            os.replace(part, target)
    except OSError as error:
        if error.errno and not error.filename:  # as of a full disk
            error.filename = str(path)
        raise


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new folder in a folder, gone afterwards; what a killed process leaves of it is removed by `sweep`."""
    with tempfile.TemporaryDirectory(".part", f".{os.getpid()}-{HOST}.", folder, ignore_cleanup_errors=True) as aside:
        yield Path(aside)


def read_regular(path: Path, most: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file; a pipe, a device or a folder is never opened.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        OSError: there is none, it is of another kind, larger, or cannot be read; `strerror` says which.
    """
    check_regular(path, most)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(0, f"has more than {most:,} bytes", str(path))
    return content


def file_digest(path: Path) -> str:
    """SHA-256 of a regular file's bytes.

    Raises:
        OSError: there is none, it is of another kind, or cannot be read; `strerror` says which.
    """
    check_regular(path, math.inf)
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            found.update(piece)
    return found.hexdigest()


def check_regular(path: Path, most: float = MAX_BYTES) -> None:
    """Find out before it is opened whether a path leads to a regular file.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        OSError: there is none, it is of another kind, or larger; `strerror` says which.
    """
    found = path.stat()
    _check_kind(path, found.st_mode)
    if found.st_size > most:
        raise OSError(0, f"has {found.st_size:,} bytes, expected at most {most:,}", str(path))


def _check_kind(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"is {_kind(mode)}, expected a regular file", str(path))


def kind_of(path: Path) -> str:
    """What a path leads to, such as "a pipe".

    Raises:
        OSError: to nothing.
    """
    return _kind(path.stat().st_mode)


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "a device")


def followed(path: Path) -> Path:
    """The path, or where it leads if it is a link; nothing need be there.

    Raises:
        OSError: links lead round to themselves.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_symlink():
        raise OSError(errno.ELOOP, "a link that leads round to itself", str(path))
    return target


def check_file(path: Path) -> None:
    """Find out before the work whether a file can be written.

    Raises:
        OSError: it is there and no regular file, its folder is not there or takes no files, or links lead round to
            themselves; `strerror` says which.
    """
    home = _file(path).absolute().parent
    if not home.is_dir():
        raise OSError(errno.ENOENT, f"the folder {home} does not exist", str(path))
    if not os.access(home, os.W_OK):
        raise OSError(errno.EACCES, f"the folder {home} cannot be written to", str(path))


def _file(path: Path) -> Path:
    """Where a path of a file leads."""
    target = followed(path)
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, f"is {kind_of(target)}, expected a regular file", str(path))
    return target


def check_folder(path: Path) -> None:
    """Find out before the work whether a folder is there, or can be made, and can be written to.

    Raises:
        OSError: it is something else, or a folder that it would be in is, or takes no files, or links lead round to
            themselves; `strerror` says which.
    """
    target = Path(os.path.realpath(path))
    there = next(one for one in (target, *target.parents) if os.path.lexists(one))
    what = "" if there == target else f"{there} "
    if not there.is_dir():
        kind = kind_of(there) if there.exists() else "a link that leads round to itself"
        raise OSError(errno.ENOTDIR, f"{what}is {kind}, expected a folder", str(path))
    if not os.access(there, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, f"{what}cannot be written to", str(path))


@contextmanager
def made(*folders: Path) -> Iterator[None]:
    """Folders are there meanwhile; those that had to be made, and stay empty, are gone afterwards.

    Args:
        folders: links are followed, to a folder that is to come too.

    Raises:
        OSError: one cannot be made; see `check_folder`.
    """
    new = list[Path]()
    try:
        for folder in folders:
            check_folder(folder)
            target = Path(os.path.realpath(folder))
            for one in reversed([one for one in (target, *target.parents) if not one.exists()]):
                one.mkdir(exist_ok=True)
                new.append(one)
        yield
    finally:
        for one in reversed(new):
            with suppress(OSError):
                one.rmdir()


@contextmanager
def held(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Nobody else who asks writes to the folder meanwhile; what killed processes left half-written there is removed.

    A file in the folder says who holds it. It is gone afterwards; of a killed process it stays and holds nothing.

    Args:
        folder: `made`.
        name: of that file; those who share a folder have one each.

    Raises:
        HeldError: somebody holds it; the message says who.
        OSError: the disk refuses.
    """
    with made(folder):
        descriptor = _lock(folder, folder / name)
        try:
            sweep(folder)
            yield
        finally:
            (folder / name).unlink(missing_ok=True)
            os.close(descriptor)


def _lock(folder: Path, lock: Path) -> int:
    """The descriptor of the folder's lock, held until it is closed."""
    import fcntl  # where there is none, such as on Windows, pictures can still be written

    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            _check_kind(lock, os.fstat(descriptor).st_mode)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(lock)):  # else its holder just removed it
                    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
                    with suppress(OSError):  # on a full disk it is held without a name
                        os.truncate(descriptor, 0)
                        os.write(descriptor, f"process {os.getpid()} on {platform.node()} since {since}".encode())
                    return descriptor
        except BlockingIOError:
            who = " ".join(os.read(descriptor, 200).decode(errors="replace").split()) or "another process"
            os.close(descriptor)
            raise HeldError(f"{folder}: is written to by {who}; wait for it, or take another folder") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that are no more were writing to files of a folder."""
    for path in folder.glob(".*.part"):
        if (left := _LEFT.fullmatch(path.name)) and not _alive(int(left[1])):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (OSError, OverflowError) as error:
        return isinstance(error, PermissionError)
    return True
