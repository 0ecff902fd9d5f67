"""Folders that are written whole or not at all."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from midms.core.files import check_folder, made, scratch, sweep

_HERE, _EXCHANGE = -100, 2
"""Linux' AT_FDCWD and RENAME_EXCHANGE."""


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder on the same disk to fill; at the end it takes the place of `path`, of whose files none stays.

    What killed processes left half-written beside it is removed. Whenever this process is killed, `path` is the old
    folder or the new one, where the system can exchange two (Linux); elsewhere there is a moment between two renames
    in which it is neither.

    Args:
        path: what is to be written; links are followed. Where there is an error, it stays as it is.

    Yields:
        The new folder.

    Raises:
        OSError: it cannot be written, or is no folder; see `check_folder`.
    """
    check_folder(path)
    target = Path(os.path.realpath(path))
    with made(target.parent), scratch(target.parent) as aside:
        sweep(target.parent)
        try:
            (aside / "new").mkdir()
            yield aside / "new"
            if target.exists():
                if _exchanged(aside / "new", target):
                    return
                os.rename(target, aside / "old")
            os.rename(aside / "new", target)
        finally:
            if (aside / "old").exists() and not target.exists():
                os.rename(aside / "old", target)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two paths in one step, by Linux' `renameat2`; False where the system or the disk cannot."""
    rename = getattr(ctypes.CDLL(None) if os.name == "posix" else None, "renameat2", None)
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
