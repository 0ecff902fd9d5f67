"""What is wrong with pictures, tables, lists and tar files that data sets are made of, in a line each."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_data
import pytest
from made_data import pairs_of, solid
from PIL import Image

from midms.conditions.ade20k_segmentation import ADE20KSegmentation
from midms.core.errors import MidmsError
from midms.data.errors import BrokenSample, DatasetError


def test_a_truncated_picture_is_one_broken_pair_and_no_other(tmp_path: Path) -> None:
    root = tmp_path / "made"
    shutil.copytree(made_data.made("folder"), root)
    dataset = pairs_of("folder", root, size=64)
    made_data.truncated(root / "0.jpg")
    broken = []
    for i in range(len(dataset)):
        try:
            dataset[i]
        except BrokenSample as error:
            broken.append(str(error))
    (line,) = broken
    assert line.startswith(f"{root / '0.jpg'}: damaged picture (") and "\n" not in line


@pytest.mark.parametrize("what", ["cut short", "too small", "no picture", "gone", "its drawing is gone"])
def test_headers_tell_which_pictures_to_read(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is said as when its pair is asked for, and no other picture is decoded for it."""
    shutil.copytree(made_data.made("pairs").parent, tmp_path / "made")
    dataset = pairs_of("pairs", tmp_path / "made" / made_data.made("pairs").name, size=64)
    files, number = dataset.files, int(dataset.targets[3])
    picture, drawn = (tmp_path / "made" / places[number] for places in (files.pictures, files.annotations))
    spoil: dict[str, Callable[[], object]] = {
        "cut short": lambda: made_data.truncated(picture),
        "too small": lambda: Image.new("L", (40, 90)).save(picture),
        "no picture": lambda: picture.write_text("none"),
        "gone": picture.unlink,
        "its drawing is gone": drawn.unlink,
    }
    spoil[what]()
    asked, usual = set[str](), type(files).picture
    monkeypatch.setattr(type(files), "picture", lambda self, i: asked.add(self.pictures[i]) or usual(self, i))
    found = set[str]()
    for number in dataset.picture_numbers():
        try:
            dataset.check_picture(int(number))
        except BrokenSample as error:
            found.add(str(error))
    (line,) = found
    assert asked == {picture.name}
    with pytest.raises(BrokenSample) as broken:
        dataset[3]
    assert str(broken.value) == line


def remove(*places: str) -> Callable[[Path], object]:
    def spoil(root: Path) -> None:
        for place in places:
            for path in root.glob(place):
                path.unlink()

    return spoil


def write(place: str, content: str) -> Callable[[Path], object]:
    return lambda root: (root / place).write_text(content)


def grey(place: str, size: tuple[int, int], level: int) -> Callable[[Path], object]:
    return lambda root: Image.new("L", size, level).save(root / place)


def one_pixel(path: Path, level: int) -> None:
    """In the corner of a map twice as large as its picture: every size of a pair passes over it."""
    labels = Image.open(path)
    labels = labels.resize((160, 160), Image.Resampling.NEAREST)
    labels.putpixel((0, 0), level)
    labels.save(path)


SPOILT: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a missing mask": (
        "celebahq-edge",
        remove("CelebAMask-HQ-mask-anno/0/00000_*"),
        "CelebAMask-HQ-mask-anno/0/00000_: no masks, expected files such as 00000_skin.png",
    ),
    "a missing label map": ("lsun-church", remove("training/picture_0000.png"), "picture_0000.png: no such file"),
    "a label out of range": (
        "ade20k",
        grey("training/picture_0000.png", (80, 80), 200),
        "picture_0000.png: has labels 200; known are 0 to 150 and 255",
    ),
    "a label out of range in one pixel, which is left out in the map's size": (
        "ade20k",
        lambda root: one_pixel(root / "training" / "picture_0000.png", 200),
        "picture_0000.png: has labels 200; known are 0 to 150 and 255",
    ),
    "a label map of another shape": (
        "ade20k",
        grey("training/picture_0000.png", (80, 60), 3),
        "picture_0000.png: is 80 x 60 pixels, expected the proportions of its picture, 80 x 80",
    ),
    "a mask of another shape": (
        "celebahq-edge",
        grey("CelebAMask-HQ-mask-anno/0/00000_skin.png", (80, 60), 255),
        "CelebAMask-HQ-mask-anno/0/00000_: masks of (60, 80), (80, 80) pixels, expected one size",
    ),
    "a small picture": (
        "lsun-church",
        grey("training/picture_0000.jpg", (40, 80), 9),
        "is 40 x 80 pixels, expected",
    ),
    "missing joints": (
        "deepfashion-pose",
        remove("pose/WOMEN/Dresses/id_00000000/01_1_front_subset.txt"),
        "01_1_front_subset.txt: cannot be read (No such file or directory)",
    ),
    "joints of nobody": (
        "deepfashion-pose",
        write("pose/WOMEN/Dresses/id_00000000/01_1_front_subset.txt", "-1 " * 20),
        "01_1_front_*.txt: no joint was found",
    ),
    "joints that are not listed": (
        "deepfashion-pose",
        write("pose/WOMEN/Dresses/id_00000000/01_1_front_subset.txt", "99 " * 20),
        "01_1_front_*.txt: expected 18 joints, each the number of a line of the candidates",
    ),
    "joints in words": (
        "deepfashion-pose",
        write("pose/WOMEN/Dresses/id_00000000/01_1_front_candidate.txt", "left"),
        "01_1_front_candidate.txt: expected lines of numbers",
    ),
    "a drawing without strokes": (
        "pairs",
        grey("0-drawn.png", (80, 80), 255),
        "the drawing has no strokes",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_with_a_picture_is_said_when_its_pair_is_asked_for(tmp_path: Path, what: str) -> None:
    name, spoil, message = SPOILT[what]
    made = made_data.made(name)
    shutil.copytree(made if made.is_dir() else made.parent, tmp_path / "made")
    path = tmp_path / "made" / (made.name if made.is_file() else "")
    dataset = pairs_of(name, path, size=64, condition=made_data.CONDITIONS[name]())
    spoil(tmp_path / "made")
    with pytest.raises(BrokenSample) as broken:
        dataset[0]
    assert message in str(broken.value) and "\n" not in str(broken.value)
    assert str(tmp_path / "made") in str(broken.value)
    last = dataset[len(dataset) - 1]
    assert last.target.shape[-1] == 64


def shard(root: Path, *names: str) -> None:
    with tarfile.open(root / "a.tar", "w") as archive:
        for name in names:
            made_data.add_member(archive, name, made_data.encoded(Image.new("L", (24, 24)), "png"))


def pictures(count: int, folder: str = "") -> Callable[[Path], object]:
    return lambda root: solid(root / folder, count)


def nothing(root: Path) -> None:
    """Leaves the folder as it is, empty."""


BAD: dict[str, tuple[str, str, Callable[[Path], object], dict[str, Any], str]] = {
    "no pictures": ("folder", "", write("a.txt", "text"), {}, "{}: no pictures in this folder"),
    "no folder": ("folder", "absent", nothing, {}, "{}/absent: there is no such folder"),
    "a file for a folder": ("folder", "a.txt", write("a.txt", ""), {}, "{}/a.txt: is a file, expected a folder"),
    "one picture": ("folder", "", pictures(1), {}, "expected at least two pictures, for one is held out"),
    "no such split": ("folder", "", pictures(2), {"split": "test"}, "split must be one of"),
    "a size that is none": ("folder", "", pictures(2), {"size": 8}, "size must be a whole"),
    "no condition": ("folder", "", pictures(2), {"condition": None}, "{}: condition must be given, such as"),
    "labels of pictures alone": (
        "folder",
        "",
        pictures(2),
        {"condition": ADE20KSegmentation()},
        "{}: ADE20KSegmentation reads annotations, and these are pictures alone",
    ),
    "a list that names an absent file": (
        "folder",
        "",
        lambda root: [solid(root, 3), write("ref.txt", "0.png,7.png\n1.png,0.png,8.png")(root)],
        {"pairs": "ref.txt"},
        "{}/ref.txt: names files that are not there: 7.png, 8.png",
    ),
    "a list of others": (
        "folder",
        "",
        lambda root: [solid(root, 3), write("ref.csv", "target,exmplar\n0.png,1.png")(root)],
        {"pairs": "ref.csv"},
        "{}/ref.csv, row 1: expected a target and an exemplar, got target, exmplar",
    ),
    "an empty list": (
        "folder",
        "",
        lambda root: [solid(root, 3), write("ref.txt", "\n")(root)],
        {"pairs": "ref.txt"},
        "{}/ref.txt: has no pairs",
    ),
    "no table": ("pairs", "a.csv", nothing, {}, "{}/a.csv: cannot be read (No such file or directory)"),
    "an empty table": ("pairs", "a.csv", write("a.csv", "target\n"), {}, "{}/a.csv: no pairs in this table"),
    "a table of absent files": (
        "pairs",
        "a.csv",
        write("a.csv", "target,exemplar\n" + "\n".join(f"{i}.png,x.png" for i in range(4))),
        {},
        "{}/a.csv: names files that are not there: 0.png, 1.png, 2.png and 2 more",
    ),
    "a table that lacks some": (
        "pairs",
        "a.jsonl",
        write("a.jsonl", '{"target": "0.png", "exemplar": "1.png"}\n{"target": "1.png"}'),
        {},
        "{}/a.jsonl: exemplar: 1 of 2 rows have one, expected all or none",
    ),
    "a table without targets": ("pairs", "a.csv", write("a.csv", "picture\n0.png"), {}, "target: 0 of 1 rows have one"),
    "lines that are no JSON": (
        "pairs",
        "a.jsonl",
        write("a.jsonl", '{"target": "0.png"}\n{target}'),
        {},
        "{}/a.jsonl, line 2: cannot be read as JSON",
    ),
    "lines of lists": ("pairs", "a.jsonl", write("a.jsonl", "[1]"), {}, "line 1: expected values by name, got [1]"),
    "an exemplar without labels": (
        "pairs",
        "a.csv",
        lambda root: [solid(root, 3), write("a.csv", "target,condition,exemplar\n0.png,0.png,2.png")(root)],
        {"condition": ADE20KSegmentation(), "split": "validation"},
        "expected at least two pictures",
    ),
    "no metadata": ("imagefolder", "", pictures(2), {}, "{}: has no metadata.jsonl or"),
    "no shards": ("webdataset", "", nothing, {}, "{}/*.tar: no such tar file, or folder of some, called *.tar"),
    "shards without pictures": ("webdataset", "", lambda root: shard(root, "a.txt"), {}, "{}: no pictures in"),
    "two pictures of a key": (
        "webdataset",
        "",
        lambda root: shard(root, "a.png", "a.jpg"),
        {},
        "a.tar: a.jpg is another picture of a, expected one",
    ),
    "conditions of some": (
        "webdataset",
        "",
        lambda root: shard(root, "a.png", "b.png", "b.condition.png"),
        {},
        "{}: 1 of 2 samples have KEY.condition, expected all or none",
    ),
    "no such lists": (
        "lsun-church",
        "",
        lambda root: solid(root / "training", 2) and Image.new("L", (24, 24)).save(root / "training" / "a.jpg"),
        {"lists": "."},
        "lsun_church_ref.txt: there is no such list of pairs",
    ),
    "no photos": ("lsun-church", "", lambda root: solid(root / "training", 2), {}, "no pictures called *.jpg"),
    "half a split": (
        "celebahq-edge",
        "",
        write("val.txt", "3\n"),
        {},
        "{}/train.txt: cannot be read (No such file or directory)",
    ),
    "an empty split": ("celebahq-edge", "", write("train.txt", "\n"), {}, "{}/train.txt: lists no pictures"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_no_data_set_can_be_made_of_is_said_in_a_line(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, path, spoil, more, message = BAD[what]
    spoil(tmp_path)
    monkeypatch.chdir(tmp_path)
    settings = {key: tmp_path / value if key == "pairs" else value for key, value in more.items()}
    with pytest.raises(MidmsError) as refused:
        pairs_of(name, tmp_path / path, **settings)
    text = str(refused.value)
    assert message.replace("{}", str(tmp_path)) in text and "\n" not in text
    assert isinstance(refused.value, DatasetError) or "size" in text
