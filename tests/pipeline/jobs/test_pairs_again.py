"""Tables of pairs a second time: what is done again, and what may not be written."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import command_line
import pytest
import torch
from PIL import Image

from midms.data.pair_rows import PairRow
from midms.images import PictureError
from midms.pipeline.jobs import batches
from midms.pipeline.jobs.manifest import Manifest, ManifestError, Share
from midms.pipeline.jobs.pair_work import PairWork
from midms.pipeline.jobs.translate_pairs import Translated, _misplaced
from midms.pipeline.pipeline import Pipeline

ROW = PairRow("a", "c.png", ("e.png",), ())
SETTINGS = {"seed": 0, "size": 64}


def work(folder: Path, out: str = "out", figure: str | None = None, layers: str | None = None) -> PairWork:
    return PairWork(folder, folder / out, figure and folder / figure, layers and folder / layers, 0, None, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A drawing, two photos, and a result."""
    (tmp_path / "out").mkdir()
    for name in ("c.png", "e.png", "f.png", "out/a.png"):
        (tmp_path / name).write_bytes(b"four")
    return tmp_path


def noted(folder: Path, *lines: object) -> Path:
    """A manifest with these lines, texts as they are."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "out/manifest.jsonl").write_text("".join(f"{text}\n" for text in texts))
    return folder / "out"


def record(folder: Path, row: PairRow = ROW, **other: object) -> dict[str, object]:
    made = {"key": row.key, "file": f"{row.key}.png", "bytes": 4, "inputs": work(folder).inputs(row)}
    return made | other


def is_done(out: Path, row: PairRow = ROW) -> bool:
    with Manifest(out, Share()).held(SETTINGS, resume=True) as there:
        return there.get(row.key) == json.dumps(work(out.parent).inputs(row))


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (ROW._replace(exemplars=("f.png",)), lambda folder: None),
        (ROW._replace(exemplars=("e.png", "f.png")), lambda folder: None),
        (ROW._replace(exemplar_conditions=("f.png",)), lambda folder: None),
        (ROW, lambda folder: (folder / "e.png").write_bytes(b"more than four")),
        (ROW, lambda folder: os.utime(folder / "c.png", ns=(0, 0))),
        (ROW, lambda folder: (folder / "c.png").unlink()),
    ],
)
def test_what_had_other_inputs_is_not_done(row: PairRow, change: Callable[[Path], object], folder: Path) -> None:
    out = noted(folder, {"run": SETTINGS}, record(folder))
    assert is_done(out)
    change(folder)
    assert not is_done(out, row)


@pytest.mark.parametrize(
    "other", [{"file": "/etc/hostname"}, {"file": "b.png"}, {"bytes": 5}, {"inputs": None}, {"key": ["a"]}]
)
def test_a_line_that_is_of_something_else_does_not_count(other: dict[str, object], folder: Path) -> None:
    (folder / "out/b.png").write_bytes(b"four")
    assert not is_done(noted(folder, {"run": SETTINGS}, record(folder, **other)))


def test_damaged_lines_are_passed_over_and_the_last_counts(folder: Path) -> None:
    damage = "[" * 200_000, '{"key": "\\ud800", "file": "\\ud800.png"}', "7", "x" * 2**21, "{"
    first = record(folder, inputs={})
    assert is_done(noted(folder, {"run": SETTINGS}, *damage, first, record(folder)))
    assert not is_done(noted(folder, {"run": SETTINGS}, record(folder), first))
    assert not is_done(noted(folder, record(folder)))


@pytest.mark.parametrize("run", [5, None, [], {"seed": 0}, {"seed": 1, "size": 64}])
def test_other_settings_are_refused(run: object, folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.jsonl: was made with (seed|size) "):
        is_done(noted(folder, {"run": run}, record(folder)))


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_manifest_that_is_no_file_is_never_opened(kind: str, folder: Path) -> None:
    path = folder / "out/manifest.jsonl"
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": Path.mkdir}[kind](path)
    with pytest.raises(ManifestError, match=f"is a {kind}, expected a regular file"):
        is_done(folder / "out")


@pytest.mark.parametrize("folders", [("out", "out"), ("out", "link"), ("out", None, "./out"), ("o", "out", "out")])
def test_each_kind_has_a_folder_of_its_own(folders: tuple[str, ...], folder: Path) -> None:
    (folder / "link").symlink_to("out")
    with pytest.raises(PictureError, match="is given twice"):
        work(folder, *folders).check_apart()


@pytest.mark.parametrize(
    ("key", "more"),
    [("figures/a", ("out/figures",)), ("layers/a/colours", (None, "out/layers")), ("a", (None, "out/a"))],
)
def test_a_result_is_in_no_other_folder(key: str, more: tuple[str, ...], folder: Path) -> None:
    found = work(folder, "out", *more)
    found.check_apart()
    wrong = _misplaced(found)
    assert bool(wrong(ROW._replace(key=key))) == (key != "a") and not wrong(ROW._replace(key="b/c"))


@pytest.mark.parametrize(
    ("link", "to", "row", "said"),
    [
        ("out/sub", "..", ROW._replace(key="sub/e"), "sub/e.png: leads by a link to .*/e.png, which would be"),
        ("out/b.png", "../c.png", ROW._replace(key="b"), "b.png: leads by a link to .*/c.png, which would be"),
        ("d.png", "out/a.png", ROW._replace(exemplars=("d.png",)), "d.png: is in a folder of results"),
        ("in", "out", ROW._replace(condition="in/a.png"), "in/a.png: is in a folder of results"),
        ("results", "out", ROW, "^$"),
    ],
)
def test_no_input_is_overwritten_through_a_link(link: str, to: str, row: PairRow, said: str, folder: Path) -> None:
    (folder / link).symlink_to(to)
    assert re.search(said, _misplaced(work(folder, "results" if link == "results" else "out"))(row))


@pytest.mark.parametrize("said", [("9" * 5000, "9" * 5001), ("1", "1"), ("-1", "2"), ("0", "\u00b2"), ("", "2")])
def test_what_is_no_share_is_told(said: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(("RANK", "WORLD_SIZE"), said, strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ManifestError, match=r"^RANK=.{,700} and WORLD_SIZE=.{,700}: expected a number from 0"):
        Share.of_environment()


def test_a_size_that_was_not_trained_is_told_once_and_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def done(pipe: Pipeline, *_: object, size: int, **more: object) -> Translated:
        before = capsys.readouterr().err
        assert before.count("warning: size 96: the weights were trained at 64 pixels") == 1
        assert before.count("note: 96 x 96 pixels take about") == 1
        return Translated(1, written=1, warnings=Counter([*pipe.domain.warnings(size, ()), "another"]))

    monkeypatch.setattr("midms.cli.beforehand._LARGE", 2**20)
    monkeypatch.setattr("midms.cli.beforehand._SMALL", 0)
    monkeypatch.setattr("midms.pipeline.jobs.translate_pairs.translate_pairs", done)
    assert command_line.run("translate", "--pairs", "a.csv", "--out", folder / "out", "--size", 96) == 0
    assert capsys.readouterr().err == "midms: warning: 1 of 1 results: another\n"


@pytest.mark.usefixtures("unchecked")
def test_who_reads_and_writes_takes_one_core_and_leaves_the_others_to_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four threads, three are the computation's; afterwards all are there again."""
    counts: dict[str, set[int]] = {"read": set(), "made": set(), "written": set()}

    def note(name: str, value: object) -> Callable[..., object]:
        def noted(*given: object, **more: object) -> object:
            counts[name].add(torch.get_num_threads())
            return value

        return noted

    result = SimpleNamespace(image=Image.new("RGB", (8, 8)), warnings=())
    monkeypatch.setattr(batches, "read_inputs", note("read", SimpleNamespace(kind=0)))
    monkeypatch.setattr(batches, "translate_inputs", note("made", [result]))
    monkeypatch.setattr(batches, "save_images", note("written", None))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        made = [*work(folder).outcomes(None, [ROW, ROW._replace(key="b")])]  # type: ignore[arg-type]
        assert len(made) == 2 and torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    assert counts == {"read": {1}, "made": {3}, "written": {1}}
