"""A folder of weights is the old or the new one wherever its writer is killed, or the disk is full."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from folder_writers import FSYNC, content

from midms.core.tensors import CheckpointError

pytestmark = [
    pytest.mark.usefixtures("hasty"),
    pytest.mark.parametrize("kind", ["composition", "conversion", "training"]),
]
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


def written(writers: list[Callable[[Path], None]], tmp_path: Path) -> tuple[Callable[[Path], None], dict[Any, str]]:
    """An old folder and a new one: the writer of the new, and from their contents to their names."""
    known = {}
    for name, write in zip(("old", "new"), writers, strict=True):
        write(tmp_path / name)
        known[content(tmp_path / name)] = name
    return writers[1], known


def test_a_folder_is_old_or_new_wherever_its_writer_is_killed(
    writes: dict[str, list[Callable[[Path], None]]], tmp_path: Path, kind: str
) -> None:
    new, known = written(writes[kind], tmp_path)
    wanted = {path.name for path in (tmp_path / "new").iterdir()}
    found = moments(lambda: new(tmp_path / "old"), tmp_path / "old", tmp_path / "killed")
    seen = [known[content(folder)] for folder in found]
    assert len(seen) > 30 and seen == sorted(seen, reverse=True), "the old one until it is the new one"
    assert {*seen} == {"old", "new"} and known[content(tmp_path / "old")] == "new"
    for folder in found[::4]:
        new(folder)
        assert {path.name for path in folder.iterdir()} == wanted and known[content(folder)] == "new"


def test_a_folder_written_first_is_there_or_not(
    writes: dict[str, list[Callable[[Path], None]]], tmp_path: Path, kind: str
) -> None:
    first, second = writes[kind]
    found = moments(lambda: first(tmp_path / "run"), tmp_path / "run", tmp_path / "killed")
    whole = content(tmp_path / "run")
    assert len(found) > 15 and {content(one) for one in found if (one / "config.json").exists()} == {whole}
    for folder in found[::4]:
        second(folder)
        assert content(folder) != whole


def test_a_folder_is_old_or_new_when_the_disk_is_full(
    writes: dict[str, list[Callable[[Path], None]]], tmp_path: Path, kind: str
) -> None:
    new, known = written(writes[kind], tmp_path)

    def full(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if changes(event, arguments, GROWS):
            left -= 1
            if left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")

    seen = []
    for at in (1, 2, *range(3, 60, 4)):
        folder, left = Path(shutil.copytree(tmp_path / "old", tmp_path / f"{at}")), at
        assert hooked(lambda: new(folder), full) in (0, 2), at  # noqa: B023
        seen.append(known[content(folder)])
        assert not [path for path in folder.iterdir() if path.name.startswith(".")], "nothing half-written stays"
        shutil.rmtree(folder)
    assert {*seen} == {"old", "new"}
