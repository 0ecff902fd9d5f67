"""Which picture of a folder goes with which of another."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image, ImageDraw

from midms import cli
from midms.images import PictureError, decoding, reading
from midms.pipeline.jobs import batches
from midms.pipeline.jobs.plan import plan_jobs


def fill(folder: Path, **files: list[str]) -> Path:
    """Folders with empty files; pairing looks at names alone."""
    for name, called in files.items():
        for file in called:
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / file).touch()
    return folder


def pairs(folder: Path, condition: str = "sketches", *exemplars: str) -> list[tuple[str, ...]]:
    """Condition, exemplars and result of each job."""
    jobs = plan_jobs(folder / condition, [folder / path for path in exemplars or ("photos",)], folder / "out", None)
    return [(job.condition.name, *(path.name for path in job.exemplars), job.out.name) for job in jobs]


def alike(folder: Path) -> bool:
    return all(job.alike for job in plan_jobs(folder / "sketches", [folder / "photos"], folder / "out", None))


def test_how_folders_are_paired(tmp_path: Path) -> None:
    fill(tmp_path, sketches=["a.png", "b.png", "c.png"], photos=["a.jpg", "b.jpg", "c.jpg", "notes.txt"])
    assert pairs(tmp_path) == [(f"{n}.png", f"{n}.jpg", f"{n}.png") for n in "abc"]
    assert pairs(tmp_path, "sketches", "photos/b.jpg") == [(f"{n}.png", "b.jpg", f"{n}.png") for n in "abc"]
    assert pairs(tmp_path, "sketches/b.png", "photos") == [("b.png", f"{n}.jpg", f"{n}.png") for n in "abc"]
    assert alike(tmp_path)


def test_folders_that_cannot_be_paired(tmp_path: Path) -> None:
    fill(tmp_path, sketches=["a.png", "b.png", "c.png"], photos=["a.jpg", "b.jpg", "d.jpg"])
    with pytest.raises(PictureError, match=r"no partner of the same name for .*c\.png, .*d\.jpg"):
        pairs(tmp_path)
    fill(tmp_path, photos=["a.png"])
    with pytest.raises(PictureError, match=r"a\.png: there is also a\.jpg, and their results would be called alike"):
        pairs(tmp_path)


def test_names_in_order_count_numbers_as_numbers(tmp_path: Path) -> None:
    """As a file manager and `ls -v` show them."""
    fill(
        tmp_path,
        sketches=[f"frame{i}.png" for i in range(1, 13)],
        photos=[f"ref{i:02d}.jpg" for i in range(1, 13)],
    )
    assert pairs(tmp_path) == [(f"frame{i}.png", f"ref{i:02d}.jpg", f"frame{i}.png") for i in range(1, 13)]
    assert not alike(tmp_path)


@pytest.mark.parametrize(
    ("sketches", "photos"),
    [
        (["frame1.png", "frame2.png", "frame10.png"], ["frame001.jpg", "frame002.jpg", "frame010.jpg"]),
        (["IMG_1.PNG", "IMG_2.PNG"], ["img_1.jpeg", "img_2.jpeg"]),
        (["a.png", "B.png"], ["A.JPG", "b.JPG"]),
        (["take 1 shot 9.png", "take 1 shot 10.png"], ["take 1 shot 09.webp", "take 1 shot 10.webp"]),
        (["a.png", "b.png"], ["a.tif", "b.bmp"]),
    ],
)
def test_names_that_read_the_same_are_the_same(tmp_path: Path, sketches: list[str], photos: list[str]) -> None:
    fill(tmp_path, sketches=sketches, photos=photos)
    assert [pair[:2] for pair in pairs(tmp_path)] == list(zip(sketches, photos, strict=True))
    assert alike(tmp_path)


def test_composed_and_decomposed_letters_are_one_name(tmp_path: Path) -> None:
    """A Mac hands out the letter and its accent apart, everybody else in one; the order would pair e with e-acute."""
    names = ["e", "é", "ö", "z"]
    composed, apart = ([unicodedata.normalize(form, name) for name in names] for form in ("NFC", "NFD"))
    assert composed != apart
    fill(tmp_path, sketches=[f"{name}.png" for name in composed], photos=[f"{name}.jpg" for name in apart])
    expected = {(f"{a}.png", f"{b}.jpg") for a, b in zip(composed, apart, strict=True)}
    assert {pair[:2] for pair in pairs(tmp_path)} == expected and alike(tmp_path)
    fill(tmp_path, sketches=[f"{apart[1]}.png"])
    with pytest.raises(PictureError, match="their results would be called alike"):
        pairs(tmp_path)


def test_names_that_differ_in_capitals_alone_stay_apart(tmp_path: Path) -> None:
    fill(tmp_path, sketches=["a.png", "A.png", "1.png", "01.png"], photos=["a.jpg", "A.jpg", "1.jpg", "01.jpg"])
    assert sorted(pairs(tmp_path)) == [(f"{n}.png", f"{n}.jpg", f"{n}.png") for n in ("01", "1", "A", "a")]


def test_what_a_system_leaves_in_a_folder_is_no_picture(tmp_path: Path) -> None:
    """Among it the PDF, which Pillow writes but does not read."""
    rubbish = ["Thumbs.db", "desktop.ini", ".DS_Store", "._a.jpg", ".a.jpg", "a.pdf", "below/c.jpg", "a.jpg.part"]
    fill(tmp_path, sketches=["a.png", "b.png"], photos=["a.jpg", "b.jpg", *rubbish])
    assert [pair[:2] for pair in pairs(tmp_path)] == [("a.png", "a.jpg"), ("b.png", "b.jpg")]
    fill(tmp_path, bare=["Thumbs.db", "below/c.jpg"])
    with pytest.raises(PictureError, match="bare: no pictures in this folder"):
        pairs(tmp_path, "bare")


def test_links_that_lead_nowhere_and_pipes_are_named_and_not_left_out(tmp_path: Path) -> None:
    fill(tmp_path, photos=["x.jpg"])
    (tmp_path / "sketches").mkdir()
    (tmp_path / "sketches" / "a.png").symlink_to("gone.png")
    (tmp_path / "sketches" / "b.png").symlink_to("b.png")
    os.mkfifo(tmp_path / "sketches" / "c.png")
    jobs = plan_jobs(tmp_path / "sketches", [tmp_path / "photos" / "x.jpg"], tmp_path / "out", None)
    assert [job.condition.name for job in jobs] == ["a.png", "b.png", "c.png"]
    for job, reason in zip(jobs, ("no such file", "links", "is a pipe"), strict=True):
        with pytest.raises(PictureError, match=f"{job.condition.name}: .*{reason}"):
            reading.read_pixels(job.condition)


def test_several_folders_of_exemplars_are_each_paired(tmp_path: Path) -> None:
    fill(tmp_path, sketches=["f2.png", "f10.png"], one=["F02.jpg", "F10.jpg"], two=["x.jpg", "y.jpg"], photos=["p.jpg"])
    assert pairs(tmp_path, "sketches", "one", "two", "photos/p.jpg") == [
        ("f2.png", "F02.jpg", "x.jpg", "p.jpg", "f2.png"),
        ("f10.png", "F10.jpg", "y.jpg", "p.jpg", "f10.png"),
    ]
    assert pairs(tmp_path, "sketches/f2.png", "one", "one") == [
        ("f2.png", "F02.jpg", "F02.jpg", "F02.png"),
        ("f2.png", "F10.jpg", "F10.jpg", "F10.png"),
    ]


def test_conditions_of_exemplars_are_found_by_the_same_names(tmp_path: Path) -> None:
    fill(tmp_path, sketches=["1.png", "2.png"], photos=["001.jpg", "002.jpg"], drawn=["1.PNG", "2.PNG", "3.PNG"])
    jobs = plan_jobs(tmp_path / "sketches", [tmp_path / "photos"], tmp_path / "out", None, tmp_path / "drawn")
    assert [[path.name for path in job.exemplar_conditions] for job in jobs] == [["1.PNG"], ["2.PNG"]]
    (tmp_path / "drawn/2.PNG").unlink()
    with pytest.raises(PictureError, match=r"drawn: no condition of the exemplar 002\.jpg"):
        plan_jobs(tmp_path / "sketches", [tmp_path / "photos"], tmp_path / "out", None, tmp_path / "drawn")


def test_pairs_without_a_name_in_common_are_printed_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, colour in [("sketches/frame2.png", "white"), ("sketches/frame10.png", "white")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        drawing = Image.new("RGB", (64, 64), colour)
        ImageDraw.Draw(drawing).ellipse([16, 16, 48, 48], outline="black", width=3)
        drawing.save(tmp_path / name)
    fill(tmp_path, photos=["ref01.jpg", "ref02.jpg"])  # no pictures: what is printed is printed before they are read
    options = {"condition": "sketches", "exemplar": "photos", "out": "out"}
    assert cli.main(["translate", *(f"--{key}={tmp_path / value}" for key, value in options.items())]) == 2
    result = capsys.readouterr().out.splitlines()
    assert result[1:3] == [
        f"  {tmp_path / 'sketches/frame2.png'}  with  {tmp_path / 'photos/ref01.jpg'}",
        f"  {tmp_path / 'sketches/frame10.png'}  with  {tmp_path / 'photos/ref02.jpg'}",
    ]
    assert "in their order" in result[0] and "0 of 2 written" in result[3]


@pytest.mark.usefixtures("unchecked")
def test_whatever_ends_one_job_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("sketches", "photos"):
        (tmp_path / folder).mkdir()
        for name in "abcde":
            Image.new("RGB", (16, 16)).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "e.png").symlink_to("e.png")
    faults = {"a": OverflowError("too\nlarge"), "b": MemoryError(), "c": RecursionError("too deep")}

    def fail(pipe: object, condition: Path, *given: object, **more: object) -> SimpleNamespace:
        if condition.stem in faults:
            raise faults[condition.stem]
        return SimpleNamespace(kind=0)

    made = SimpleNamespace(image=Image.new("RGB", (16, 16)))
    monkeypatch.setattr(batches, "read_inputs", fail)
    monkeypatch.setattr(batches, "translate_inputs", lambda pipe, pairs, *_: [made] * len(pairs))
    jobs = plan_jobs(tmp_path / "sketches", [tmp_path / "photos"], tmp_path / "out", None)
    reasons = [outcome.reason for outcome in batches.run_jobs(None, jobs) if outcome.result is None]
    assert [line.removeprefix(f"{tmp_path}/") for line in reasons] == [
        "out/a.png: failed (OverflowError: too large)",
        "out/b.png: failed (MemoryError: MemoryError)",
        "out/c.png: failed (RecursionError: too deep)",
        "out/e.png: cannot be written (a link that leads round to itself)",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["d.png", "e.png"]


def test_a_single_job_reads_each_file_once(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def opened(path: Path) -> Image.Image:
        seen.append(path.name)
        return decoding.opened(path)

    monkeypatch.setattr(reading, "opened", opened)
    given = {"condition": pair / "condition.png", "exemplar": pair / "exemplar.png"}
    options = [f"--{name}={path}" for name, path in given.items()]
    assert cli.main(["translate", *options, f"--out={tmp_path}/a.png"]) == 0
    assert sorted(seen) == ["condition.png", "exemplar.png"]
    known = {path: reading.read_pixels(path) for path in given.values()}
    for source, path in ((known[path], path) for path in given.values()):
        assert torch.equal(reading.read_image(source), reading.read_image(path)) and source.name == str(path)
