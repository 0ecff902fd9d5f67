"""Files whole or not at all, folders that one process writes to, and what killed processes left half-written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hostile import outcome
from PIL import Image

from midms.core import files
from midms.core.files import atomic_write, held


def test_a_lock_of_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    def hold() -> None:
        with held(tmp_path), atomic_write(tmp_path / "big") as part:
            part.write_bytes(b"half")
            os._exit(9)

    if not (child := os.fork()):
        hold()
    os.waitpid(child, 0)
    assert len(os.listdir(tmp_path)) == 2
    with atomic_write(tmp_path / "mine"), held(tmp_path):
        mine = [name for name in os.listdir(tmp_path) if name.endswith(".part")]
        assert len(mine) == 1 and str(os.getpid()) in mine[0], "what a living process writes stays"
    assert os.listdir(tmp_path) == ["mine"]


@pytest.mark.parametrize("bait", ["link", "pipe", "folder"])
def test_a_lock_that_is_no_file_is_refused(tmp_path: Path, bait: str) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run").mkdir()
    lock = tmp_path / "run" / files.LOCK
    {"link": lambda: lock.symlink_to(tmp_path / "precious"), "pipe": lambda: os.mkfifo(lock), "folder": lock.mkdir}[
        bait
    ]()  # type: ignore[operator]
    with pytest.raises(OSError), held(tmp_path / "run"):
        pytest.fail("it was held")
    assert (tmp_path / "precious").read_text() == "precious"


COMMANDS = {
    "translate": ["--condition", "a.png", "--exemplar", "a.png", "--out", "out/b.png"],
    "demo": ["--faces", "1", "--out", "out"],
    "ablate": ["--vary", "matcher=preset", "--pairs", "1", "--out", "."],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_part_files_of_killed_runs_are_removed_by_the_next(tmp_path: Path, command: str) -> None:
    out = tmp_path / ("pictures" if command == "ablate" else "out")
    out.mkdir()
    if not (child := os.fork()):
        with atomic_write(out / "a.png") as part:
            part.write_bytes(b"half")
            os._exit(9)
    os.waitpid(child, 0)
    assert len(os.listdir(out)) == 1
    with atomic_write(out / "mine"):
        Image.effect_noise((64, 64), 99).convert("RGB").save(tmp_path / "a.png")
        done = outcome([command, *COMMANDS[command]], tmp_path)
        assert done.status == 0, done
        left = [name for name in os.listdir(out) if name.endswith(".part")]
        assert len(left) == 1 and str(os.getpid()) in left[0], "what a living process writes stays"
