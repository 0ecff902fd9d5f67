"""Tables of pairs: the same results however they are batched, shared and stopped, and what is wrong is named."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import tarfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import command_line
import numpy as np
import pytest
import torch
from pair_tables import lines, pictures, write_pairs
from PIL import Image

from midms import build, translate_pairs
from midms.core.files import HeldError, held
from midms.data.errors import DatasetError
from midms.images import PictureError
from midms.pipeline.failures import HOPELESS, PartFailed
from midms.pipeline.jobs import batches
from midms.pipeline.jobs.manifest import ManifestError, Share
from midms.pipeline.jobs.plan import plan_jobs
from midms.pipeline.pipeline import Pipeline

COUNT = 6


@pytest.fixture(scope="module")
def pipe() -> Iterator[Pipeline]:
    """With one thread, for the threads of this process are not in those that it forks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield build("midm-faces")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawings 0 to 5, of two sizes, photos likewise, and a table of them."""
    folder = tmp_path_factory.mktemp("pairs")
    return write_pairs(folder, COUNT)


@pytest.fixture(scope="module")
def results(pipe: Pipeline, table: Path) -> Path:
    """Of an unbroken run, four at once."""
    done = translate_pairs(pipe, table, table.parent / "results", batch=4)
    assert (done.written, done.failures) == (COUNT, [])
    return table.parent / "results"


def values(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_one_by_one_and_together_are_the_same_but_for_rounding(
    pipe: Pipeline, table: Path, results: Path, tmp_path: Path
) -> None:
    translate_pairs(pipe, table, tmp_path, batch=1)
    for path in results.glob("*.png"):
        assert abs(values(path) - values(tmp_path / path.name)).max() <= 1
    assert not (values(results / "1.png") == values(results / "2.png")).all()
    records = {record["key"]: record for record in lines(results)}
    assert records.keys() == {str(i) for i in range(COUNT)}
    assert all(record["bytes"] == (results / str(record["file"])).stat().st_size for record in records.values())


def test_a_result_follows_from_its_pair_and_key_alone(
    pipe: Pipeline, table: Path, results: Path, tmp_path: Path
) -> None:
    """In another order, among others, in folders; with another key the noise is another."""
    rows = [{"key": str(i), "condition": f"{i}.png", "exemplar": [f"photo{i}.png"]} for i in (4, 2)]
    rows += [{"key": "more/4", "condition": "4.png", "exemplar": "photo4.png"}]
    (table.parent / "few.jsonl").write_text("\n".join(map(json.dumps, rows)))
    translate_pairs(pipe, table.parent / "few.jsonl", tmp_path, batch=4)
    found, known = pictures(tmp_path), pictures(results)
    assert all(found[name] == known[name] for name in ("2.png", "4.png"))
    assert found["more/4.png"] != found["4.png"]


def test_two_processes_share_the_pairs_and_go_on_with_what_one_left(
    pipe: Pipeline, table: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        translate_pairs(pipe, table, tmp_path, batch=4)
    assert pictures(tmp_path) == pictures(results)
    keys = [[record["key"] for record in lines(tmp_path, f"manifest-{rank}-of-2.jsonl")] for rank in (0, 1)]
    assert all(keys) and sorted(chain(*keys)) == [str(i) for i in range(COUNT)]
    (tmp_path / "3.png").unlink()
    (tmp_path / "4.png").write_bytes(b"cut off")
    os.utime(table.parent / "photo5.png", ns=(0, 0))
    done = translate_pairs(pipe, table, tmp_path, batch=4, resume=True, share=Share())
    assert (done.skipped, done.written, done.changed) == (COUNT - 3, 3, 1) and pictures(tmp_path) == pictures(results)
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(ManifestError, match="RANK=2 and WORLD_SIZE=2"):
        translate_pairs(pipe, table, tmp_path)


def test_killed_and_resumed_the_bytes_are_those_of_an_unbroken_run(
    pipe: Pipeline, table: Path, results: Path, tmp_path: Path
) -> None:
    """Killed as soon as something is written, and once more when nearly all is."""
    for count in (1, 5):
        if not (child := os.fork()):
            with contextlib.suppress(BaseException):
                translate_pairs(pipe, table, tmp_path, batch=4, resume=True)
            os._exit(0)
        until = time.monotonic() + 60
        while len(pictures(tmp_path)) < count and time.monotonic() < until:
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with (tmp_path / "manifest.jsonl").open("a") as file:
        file.write('{"key": "5", "fi')
    translate_pairs(pipe, table, tmp_path, batch=4, resume=True)
    assert pictures(tmp_path) == pictures(results)
    assert {record["key"] for record in lines(tmp_path)} == {str(i) for i in range(COUNT)}
    assert not [path.name for path in tmp_path.iterdir() if path.suffix not in (".png", ".jsonl")]


def test_what_is_wrong_with_some_pairs_is_named_and_the_rest_is_done(
    table: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = table.parent
    (folder / "broken.png").write_bytes((folder / "photo1.png").read_bytes()[:100])
    rows = ["1,1.png,photo1.png", "a,2.png,broken.png", "1,2.png,photo2.png", "b,2.png,", "../c,2.png,photo2.png"]
    rows += ["d,no.png,photo2.png", "e,2.png,wrong/1.png", "2,2.png,photo2.png"]
    (folder / "wrong.csv").write_text("\n".join(["key,condition,exemplar", *rows]))
    out = folder / "wrong"
    words = "translate", "--pairs", folder / "wrong.csv", "--out", out, "--batch", 4
    assert command_line.run(*words) == 2
    shown = capsys.readouterr()
    said = [line for line in shown.err.splitlines() if line.startswith("midms: ") and "warning" not in line]
    for part in (
        "broken.png: ",
        "wrong.csv: has the key 1 again, of which the first pair is taken",
        "wrong.csv, row 4: has no exemplar",
        "wrong.csv, row 5: the key '../c' would name a file outside of the results",
        "no.png: no such file",
        "wrong/1.png: is in a folder of results",
    ):
        assert len([line for line in said if part in line]) == 1, part
    assert len(said) == 6 and "2 of 8 written" in shown.out
    assert pictures(out) == {name: pictures(results)[name] for name in ("1.png", "2.png")}
    assert {record["key"] for record in lines(out) if "error" in record} == {"a", "1", "b", "", "d", "e"}
    assert command_line.run(*words) == 2 and "is of an earlier run" in command_line.complaint(capsys)
    assert command_line.run(*words, "--resume", "--seed", 1) == 2
    assert "was made with seed 0, got 1" in command_line.complaint(capsys)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("target,exemplar,similarity\n1.png,photo1.png,0.5", "has the columns .*, expected condition and exemplar"),
        ("condition,exemplar,exemplar_conditions\n1.png,photo1.png,1.png", "did you mean 'exemplar_condition'"),
        ("condition,exemplar\n", "no pairs in this table"),
    ],
)
def test_a_wrong_header_ends_it_before_anything_is_written(
    text: str, said: str, pipe: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DatasetError, match=f"(?i)a.csv: .*{said}"):
        translate_pairs(pipe, tmp_path / "a.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tar_files_and_a_corrupt_one_between_them(pipe: Pipeline, table: Path, results: Path, tmp_path: Path) -> None:
    for shard in range(3):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as archive:
            for i in (2 * shard, 2 * shard + 1):
                for part, name in (("condition", f"{i}.png"), ("exemplar", f"photo{i}.png")):
                    content = (table.parent / name).read_bytes()
                    info = tarfile.TarInfo(f"{i}.{part}.png")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    content = bytearray((tmp_path / "1.tar").read_bytes())
    with tarfile.open(tmp_path / "1.tar") as archive:
        start = archive.getmember("3.exemplar.png").offset
    content[start : start + 10] = b"\xff" * 10
    (tmp_path / "1.tar").write_bytes(content)
    done = translate_pairs(pipe, tmp_path, tmp_path / "out", batch=4)
    assert pictures(tmp_path / "out") == {f"{i}.png": pictures(results)[f"{i}.png"] for i in (0, 1, 2, 4, 5)}
    assert len(done.failures) == 2 and "1.tar: is no tar file" in done.failures[0]
    assert done.failures[1].endswith("1.tar: 3: has no exemplar")


def test_a_full_disk_loses_no_line_and_a_share_has_one_process(
    pipe: Pipeline, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(tmp_path, ".manifest.jsonl.lock"), pytest.raises(HeldError, match="is written to by process"):
        translate_pairs(pipe, table, tmp_path)

    def full(pictures: dict[Path, Image.Image]) -> None:
        raise PictureError(f"{next(iter(pictures)).name}: cannot be written (No space left on device)")

    monkeypatch.setattr(batches, "save_images", full)
    done = translate_pairs(pipe, table, tmp_path, batch=4)
    assert (done.failed, done.written) == (COUNT, 0)
    assert {record["error"] for record in lines(tmp_path)} == {*done.failures}
    monkeypatch.undo()
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    before = (tmp_path / "manifest.jsonl").read_bytes()
    with pytest.raises(OSError, match=r"No space left on device: .*manifest\.jsonl"):
        translate_pairs(pipe, table, tmp_path, batch=4, resume=True)
    assert (tmp_path / "manifest.jsonl").read_bytes() == before


@pytest.mark.usefixtures("unchecked")
def test_one_that_breaks_a_batch_is_found_and_the_others_are_made(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And sizes that are rare wait for others of theirs, but not for ever."""
    calls: list[list[int]] = []

    def made(pipe: object, pairs: list[SimpleNamespace], noises: list[object], at_once: int) -> list[SimpleNamespace]:
        calls.append([pair.number for pair in pairs])
        if 5 in calls[-1]:
            raise RuntimeError("no")
        return [SimpleNamespace(image=Image.new("RGB", (8, 8))) for _ in pairs]

    def read(pipe: object, condition: Path, *given: object, **more: object) -> SimpleNamespace:
        return SimpleNamespace(kind=int(condition.stem) % 7, number=int(condition.stem))

    (tmp_path / "drawings").mkdir()
    for i in range(30):
        (tmp_path / "drawings" / f"{i}.png").touch()
    monkeypatch.setattr(batches, "read_inputs", read)
    monkeypatch.setattr(batches, "translate_inputs", made)
    jobs = plan_jobs(tmp_path / "drawings", [table.parent / "0.png"], tmp_path / "out", None)
    found = {outcome.job.out.stem: outcome.result is not None for outcome in batches.run_jobs(None, jobs, batch=2)}
    assert found == {str(i): i != 5 for i in range(30)} and len(pictures(tmp_path / "out")) == 29
    assert calls[0] == [0, 7] and [5] in calls and [12] in calls and max(map(len, calls)) == 2


def test_options_that_go_with_no_table(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "translate", "--out", table.parent / "no"
    for more, said in (
        (["--pairs", table, "--exemplar", table], "--exemplar: cannot be given beside --pairs"),
        (["--condition", table, "--exemplar", table, "--resume"], "--resume: goes with --pairs"),
        (["--exemplar", table], "expected --condition and --exemplar, or --pairs"),
    ):
        assert command_line.run(*words, *more) == 2 and said in command_line.complaint(capsys)


def test_a_size_that_is_none_is_told_once(pipe: Pipeline, table: Path, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="size: "):
        translate_pairs(pipe, table, tmp_path / "out", size=63)
    assert not (tmp_path / "out").exists()


def test_a_part_that_fails_with_each_ends_it(table: Path, tmp_path: Path, registries: None) -> None:
    class Own:
        def __call__(self, match: object) -> None:
            raise LookupError("lost")

    with pytest.raises(PartFailed, match="Own raised LookupError: lost"):
        translate_pairs(build("midm-faces", confidence=Own()), table, tmp_path)
    assert len(lines(tmp_path)) == HOPELESS


def test_a_process_with_failures_leaves_when_all_are_done(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For torchrun ends the others when one leaves with a failure."""
    waited: list[bool] = []
    monkeypatch.setattr("midms.cli.translate_pairs._wait_for_others", lambda: waited.append(True))
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "a.csv").write_text("\n".join(["condition,exemplar", *(f"{i}.png,none.png" for i in range(8))]))
    count = sum(Share(1, 2).has(str(i)) for i in range(8))
    assert command_line.run("translate", "--pairs", tmp_path / "a.csv", "--out", tmp_path / "out") == 2
    assert waited == [True] and f"0 of {count} written to" in (said := capsys.readouterr()).out
    assert ", share 2 of 2\n" in said.out and said.err.count("no such file") == count
