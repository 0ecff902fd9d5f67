"""A folder of weights is the old or the new one wherever its writer is killed, or the disk is full."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from folder_writers import content
from killed import GROWS, changes, hooked, moments

pytestmark = [
    pytest.mark.usefixtures("hasty"),
    pytest.mark.parametrize("kind", ["composition", "conversion", "training"]),
]


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
