"""Whoever writes to a disk, watched: what is there just before each step, and a disk that is full at one of them."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from folder_writers import FSYNC

from midms.core.tensors import CheckpointError

GROWS = ("os.mkdir", "os.rename", "os.link", FSYNC)
"""What a full disk refuses, beside files that are opened to be written to, as Python's audit events call it."""
STEPS = (*GROWS, "os.chmod", "os.remove", "os.rmdir")
"""All that changes the disk, likewise."""


def changes(event: str, arguments: tuple[Any, ...], events: tuple[str, ...]) -> bool:
    """Whether an audit event is one of these, or a file that is opened to be written to."""
    flags = arguments[2] if event == "open" else None
    return event in events or (isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR)))


def hooked(action: Callable[[], object], hook: Callable[[str, tuple[Any, ...]], None]) -> int:
    """Do something in a child whose thread is watched; returns its exit status, 2 if it says that the disk is full."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status, alone = 1, threading.get_ident()
    try:
        torch.set_num_threads(1)  # the parent's threads are not in the child
        sys.addaudithook(lambda *event: hook(*event) if threading.get_ident() == alone else None)
        action()
        status = 0
    except (CheckpointError, OSError) as error:
        status = 2 if str(error).count("\n") == 0 and "No space left" in str(error) else 1
    finally:
        os._exit(status)


def moments(action: Callable[[], object], folder: Path, into: Path) -> list[Path]:
    """What a folder holds just before each step on the disk: what stays of it where the process is killed there."""
    count, busy = 0, False

    def copy(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count, busy
        if not busy and changes(event, arguments, STEPS):
            busy = True
            if folder.exists():
                shutil.copytree(folder, into / f"{count:03}")
            count, busy = count + 1, False

    into.mkdir()
    assert hooked(action, copy) == 0
    return sorted(into.iterdir())
