"""Files whole or not at all, folders that one process writes to, and what killed processes left half-written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from command_line import complaint, run, translate
from hostile import outcome
from PIL import Image

from midms.core import files
from midms.core.files import atomic_write, check_folder, held, made


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


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_folders_that_were_made_and_stay_empty_are_gone_again(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "link").symlink_to("to/come")
    with pytest.raises(KeyError), made(tmp_path / "old", tmp_path / "a" / "b", tmp_path / "a" / "c", tmp_path / "link"):
        assert (tmp_path / "a" / "c").is_dir() and (tmp_path / "to" / "come").is_dir(), "links are followed"
        (tmp_path / "a" / "c" / "file").touch()
        raise KeyError
    assert tree(tmp_path) == ["a", "a/c", "a/c/file", "link", "old"]
    (tmp_path / "round").symlink_to("round")
    round_about = made(tmp_path / "new", tmp_path / "round" / "sub")
    with pytest.raises(OSError, match="round is a link that leads round to itself, expected a folder"), round_about:
        pytest.fail("it was made")
    with pytest.raises(NotADirectoryError, match="is a file, expected a folder"):
        check_folder(tmp_path / "a" / "c" / "file")
    assert tree(tmp_path) == ["a", "a/c", "a/c/file", "link", "old", "round"]


@pytest.mark.parametrize("out", ["link", "link/in/it"])
def test_a_link_to_a_folder_that_is_to_come_is_followed(out: str, pair: Path, tmp_path: Path) -> None:
    """Wherever a command writes a folder."""
    (tmp_path / "link").symlink_to("to/come")
    for name in ("sketches", "photos"):
        (tmp_path / name).mkdir()
    shutil.copy(pair / "condition.png", tmp_path / "sketches" / "a.png")
    shutil.copy(pair / "exemplar.png", tmp_path / "photos" / "a.png")
    folders = ["--condition", tmp_path / "sketches", "--exemplar", tmp_path / "photos"]
    assert run("translate", *folders, "--out", tmp_path / out, "--figure", tmp_path / out / "figures") == 0
    assert translate(pair, tmp_path / "a.png", "--finisher", "composite", "--layers", tmp_path / out / "layers") == 0
    assert run("demo", "--faces", 1, "--out", tmp_path / out / "demo") == 0
    there = tree((tmp_path / out).resolve())
    assert {"a.png", "figures/a.png", "layers/lines.png", "demo/sheet.png"} <= {*there}
    assert (tmp_path / "link").is_symlink() and (tmp_path / "to" / "come").is_dir()


@pytest.mark.parametrize("out", ["round", "round/in", "file", "file/in"])
@pytest.mark.parametrize(
    "words",
    [
        "translate --condition folder --exemplar a.png --out OUT",
        "translate --condition folder --exemplar a.png --out new --figure OUT",
        "translate --condition a.png --exemplar a.png --out b.png --finisher composite --layers OUT",
        "demo --out OUT",
        "ablate --vary matcher=preset --pairs 1 --out OUT",
        "convert a.png --config a.yaml --out OUT",
        "train --data portraits --preset midm-faces --log-with none --out OUT",
    ],
)
def test_what_cannot_be_a_folder_is_refused_beforehand(
    words: str,
    out: str,
    pair: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    shutil.copy(pair / "condition.png", tmp_path / "a.png")
    shutil.copy(pair / "condition.png", tmp_path / "folder")
    before = tree(tmp_path)
    monkeypatch.setattr("midms.pipeline.jobs.batches.run_jobs", lambda *_, **__: pytest.fail("there was work"))
    monkeypatch.setattr("midms.pipeline.demo.translate", lambda *_, **__: pytest.fail("there was work"))
    assert run(*words.replace("OUT", out).split()) == 2
    what = "a link that leads round to itself" if out.startswith("round") else "a file"
    assert f"{out}: " in (line := complaint(capsys)) and f"is {what}, expected a folder" in line
    assert tree(tmp_path) == before
