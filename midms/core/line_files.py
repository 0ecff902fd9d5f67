"""Files to which lines are added: each is whole or not there, whenever a process is killed or a disk is full."""

from __future__ import annotations

import os
from pathlib import Path


def append_line(path: Path, line: bytes, sync: bool = True) -> None:
    """Add a line to a file, which is made if need be; what cannot be written whole is not there.

    Args:
        path: of the file.
        line: without its end.
        sync: whether it is on disk when this returns, or the system may take a moment longer.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    before = os.fstat(descriptor).st_size
    try:
        left = memoryview(line + b"\n")
        while left:
            left = left[os.write(descriptor, left) :]
        if sync:
            os.fsync(descriptor)
    except OSError:
        os.truncate(descriptor, before)
        raise
    finally:
        os.close(descriptor)


def cut_line(path: Path) -> None:
    """Cut off what a killed process left of the last line of a file.

    Raises:
        OSError: the disk refuses.
    """
    with path.open("rb+") as file:
        end = keep = file.seek(0, os.SEEK_END)
        while keep:
            begin = max(0, keep - 2**16)
            file.seek(begin)
            found = file.read(keep - begin).rfind(b"\n")
            if found >= 0:
                keep = begin + found + 1
                break
            keep = begin
        if keep < end:
            file.truncate(keep)
