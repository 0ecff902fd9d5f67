"""Results in tar files: each pair in one of them, whatever happens, and as webdataset reads them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import command_line
import pytest
import torch
from pair_tables import lines, pictures, write_pairs

from midms import build, translate_pairs
from midms.images import PictureError
from midms.pipeline.jobs.manifest import Share
from midms.pipeline.pipeline import Pipeline

COUNT = 4
NAME = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
"""Key and ending, as `webdataset.tariterators.base_plus_ext` has them."""


@pytest.fixture(scope="module")
def pipe() -> Iterator[Pipeline]:
    """With one thread, for the threads of this process are not in those that it forks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield build("midm-faces")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of pairs, one of them in a folder."""
    path = write_pairs(tmp_path_factory.mktemp("pairs"), COUNT)
    rows = [f"{'v1.5/' if i == 3 else ''}{i},{i}.png,photo{i}.png" for i in range(COUNT)]
    path.write_text("\n".join(["key,condition,exemplar", *rows]))
    return path


@pytest.fixture(scope="module")
def results(pipe: Pipeline, table: Path) -> dict[str, bytes]:
    """Bytes of the results by key, as files."""
    translate_pairs(pipe, table, table.parent / "results", batch=2)
    return {name.removesuffix(".png"): content for name, content in pictures(table.parent / "results").items()}


def samples(folder: Path) -> list[tuple[str, dict[str, bytes]]]:
    """Of all tar files there: members beside each other with one key are one, as `group_by_keys` has it."""
    found: list[tuple[str, dict[str, bytes]]] = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                key, ending = NAME.match(member.name).groups()  # type: ignore[union-attr]
                if not found or found[-1][0] != key:
                    found.append((key, {}))
                found[-1][1][ending] = archive.extractfile(member).read()  # type: ignore[union-attr]
    return found


def check(folder: Path, results: dict[str, bytes]) -> None:
    """Each pair is there once, with these bytes, and nothing else but manifests, and locks of the dead."""
    found = samples(folder)
    assert sorted(key for key, _ in found) == sorted(results)
    for key, sample in found:
        assert sample.keys() == {"png", "json"} and sample["png"] == results[key]
        assert json.loads(sample["json"])["key"] == key
    assert {path.suffix for path in folder.iterdir()} - {".lock"} == {".tar", ".jsonl"}


def test_tar_files_hold_the_bytes_of_the_files(
    pipe: Pipeline, table: Path, results: dict[str, bytes], tmp_path: Path
) -> None:
    done = translate_pairs(pipe, table, tmp_path, batch=2, shards=2)
    assert (done.written, done.failed) == (COUNT, 0)
    check(tmp_path, results)
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == [f"results-00000{i}.tar" for i in range(2)]
    assert json.loads(samples(tmp_path)[0][1]["json"]).keys() == {"key", "warnings", "inputs"}
    again = translate_pairs(pipe, table, tmp_path, batch=2, shards=9, resume=True)
    assert (again.skipped, again.written) == (COUNT, 0)
    (tmp_path / "results-000001.tar").unlink()
    again = translate_pairs(pipe, table, tmp_path, batch=2, shards=9, resume=True)
    assert (again.skipped, again.written) == (COUNT - 2, 2) and (tmp_path / "results-000002.tar").exists()
    check(tmp_path, results)


@pytest.mark.parametrize("moment", ["before its name", "after its name", "before its lines"])
def test_killed_while_a_tar_file_is_made_each_pair_is_in_one(
    moment: str, pipe: Pipeline, table: Path, results: dict[str, bytes], tmp_path: Path
) -> None:
    """The second tar file of one of two processes; one process goes on."""
    translate_pairs(pipe, table, tmp_path, batch=2, shards=1, share=Share(0, 2))
    if not (child := os.fork()):
        with contextlib.suppress(BaseException):
            _die(moment)
            translate_pairs(pipe, table, tmp_path, batch=2, shards=1, share=Share(1, 2))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = samples(tmp_path)
    done = translate_pairs(pipe, table, tmp_path, batch=2, shards=2, resume=True)
    assert done.skipped == len(left) and 0 < done.written < COUNT
    check(tmp_path, results)


def _die(moment: str) -> None:
    """Of the second tar file."""
    replace, opened, count = os.replace, tarfile.open, [0]

    def until(function: Callable[..., object], is_after: bool) -> Callable[..., object]:
        def called(*given: object) -> object:
            count[0] += str(given[1]).endswith((".tar", "w"))
            if count[0] < 2:
                return function(*given)
            if is_after:
                function(*given)
            os._exit(9)

        return called

    if moment == "before its lines":
        tarfile.open = until(opened, False)  # type: ignore[assignment]
    else:
        os.replace = until(replace, moment == "after its name")  # type: ignore[assignment]


def test_what_cannot_be_packed_is_told(
    pipe: Pipeline, table: Path, results: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(table.parent, tmp_path / "in", ignore=shutil.ignore_patterns("results"))
    path, out = tmp_path / "in/pairs.csv", tmp_path / "out"
    path.write_text(path.read_text() + "\nv1.5,1.png,photo1.png\n6,1.png,none.png\n")
    words = "translate", "--pairs", path, "--out", out, "--batch", 2, "--shards", 4, "--resume"
    assert command_line.run(*words) == 2
    said = capsys.readouterr()
    assert "the key 'v1.5' has a dot, where it would end in a tar file" in said.err
    assert "none.png: no such file" in said.err and f"{COUNT} of {COUNT + 2} written" in said.out
    check(out, results)
    assert {line["key"] for line in lines(out) if "error" in line} == {"v1.5", "6"}
    os.utime(tmp_path / "in/photo1.png", ns=(0, 0))
    assert command_line.run(*words) == 2
    assert "1: its inputs have changed since it was put into a tar file; remove that" in capsys.readouterr().err
    check(out, results)
    assert command_line.run(*words[:-3], "--resume") == 2
    assert "was made with results 'tar files', got 'files'" in command_line.complaint(capsys)
    (out / "manifest.jsonl").unlink()
    assert command_line.run(*words) == 2
    assert "results-000000.tar: is in no manifest" in command_line.complaint(capsys)
    with pytest.raises(PictureError, match="shards: results alone go into tar files"):
        translate_pairs(pipe, table, tmp_path / "none", shards=2, figure=tmp_path / "figure")


def test_a_full_disk_ends_it_and_nothing_is_lost(
    pipe: Pipeline, table: Path, results: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, calls = tarfile.TarFile.addfile, [0]

    def full(*given: object) -> None:
        calls[0] += 1
        if calls[0] == 6:
            raise OSError(28, "No space left on device")
        add(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(OSError, match=r"No space left on device: .*results-000001\.tar"):
        translate_pairs(pipe, table, tmp_path, batch=2, shards=2)
    monkeypatch.undo()
    assert len(samples(tmp_path)) == 2
    assert translate_pairs(pipe, table, tmp_path, batch=2, shards=2, resume=True).skipped == 2
    check(tmp_path, results)


def test_tar_files_that_are_results_are_no_inputs(pipe: Pipeline, table: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(table.parent / "1.png", "1.condition.png")
        archive.add(table.parent / "photo1.png", "1.exemplar.png")
    done = translate_pairs(pipe, tmp_path, tmp_path, shards=2)
    assert done.failures == [f"{tmp_path}/a.tar: is in a folder of results, expected another place"]
