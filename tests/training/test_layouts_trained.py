"""From a layout on disk to a picture: `midms train`, then `midms translate` by what it left."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import command_line
import made_data
import pytest
from PIL import Image
from small_presets import small

from midms.checkpoints.folder import read_folder
from midms.compose.presets import PRESETS

MODEST = ("--device", "cpu", "--workers", 0, "--log-with", "none", "--steps", 1, "--batch", 2, "--size", 64)

WITHOUT_VGG = ("--terms", '{"perc": 0, "feat": 0, "ctx": 0}')


def shrink(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = PRESETS[preset]
    monkeypatch.setitem(PRESETS, preset, dataclasses.replace(recipe, slots={**recipe.slots, **small(preset)}))


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def annotated(folder: Path) -> Path:
    """A photo whose masks lie where the data set has them."""
    return made_data.made("celebahq-edge") / "CelebA-HQ-img" / "38.jpg"


def pose(folder: Path) -> Path:
    numbers = [number for x, y in made_data.joints(38) for number in ((0, 0, 0) if math.isnan(x) else (x, y, 1))]
    (folder / "pose.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": numbers}]}))
    return folder / "pose.json"


def labels(folder: Path) -> Path:
    made_data.labels(38).save(folder / "labels.png")
    return folder / "labels.png"


CONDITIONS = {"midm-celeba": annotated, "midm-deepfashion": pose, "midm-church": labels}
"""What people hand in."""


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("layout", "preset"),
    [
        ("celebahq-edge", "midm-celeba"),
        ("deepfashion-pose", "midm-deepfashion"),
        ("ade20k", "midm-church"),
        ("webdataset", "midm-church"),
    ],
)
def test_a_layout_of_the_field_trains_the_stages_of_midms(
    layout: str, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--init` the parts that no stage trains stay random: this is said, and they are kept with the rest."""
    shrink(preset, monkeypatch)
    out = tmp_path / "out"
    words = ("train", "--data", f"{layout}:{made_data.made(layout)}", "--preset", preset, "--out", out, *MODEST)
    assert command_line.run(*words, *WITHOUT_VGG) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": no weights " in line]
    assert line.endswith(": warmup: no weights for the denoiser and autoencoder, which stay random; give --init")
    found = read_folder(out)
    assert {*found.parts} == {"features", "denoiser", "autoencoder"} and {*found.recipe.made} == {"warmup", "joint"}
    condition = CONDITIONS[preset](tmp_path)
    made_data.photo(38).save(tmp_path / "exemplar.png")
    more = ("--preset", out, "--exemplar-condition", condition)
    assert command_line.translate(tmp_path, tmp_path / "result.png", *more, condition=str(condition)) == 0
    assert size(tmp_path / "result.png") == (64, 64)


@pytest.mark.parametrize("layout", ["folder", "pairs", "imagefolder"])
def test_pictures_of_ones_own_train_a_model_that_translates(layout: str, tmp_path: Path) -> None:
    """All stages of `midm-small` in one go."""
    out = tmp_path / "out"
    words = ("train", "--data", f"{layout}:{made_data.made(layout)}", "--preset", "midm-small", "--out", out, *MODEST)
    assert command_line.run(*words) == 0
    made_data.drawing(38).save(tmp_path / "condition.png")
    made_data.photo(38).save(tmp_path / "exemplar.png")
    assert command_line.translate(tmp_path, tmp_path / "result.png", "--preset", out) == 0
    assert size(tmp_path / "result.png") == (64, 64)


def unmasked(root: Path) -> None:
    for mask in root.glob("CelebAMask-HQ-mask-anno/0/00038_*"):
        mask.unlink()


BROKEN: dict[str, tuple[str, str, Callable[[Path], object], str]] = {
    "a truncated JPEG": (
        "celebahq-edge",
        "midm-celeba",
        lambda root: made_data.truncated(root / "CelebA-HQ-img" / "38.jpg"),
        "CelebA-HQ-img/38.jpg: damaged picture (",
    ),
    "a missing mask": ("celebahq-edge", "midm-celeba", unmasked, "0/00038_: no masks, expected files such as"),
    "a label beyond the range": (
        "ade20k",
        "midm-church",
        lambda root: Image.new("L", (80, 80), 200).save(root / "validation" / "picture_0038.png"),
        "validation/picture_0038.png: has labels 200; known are 0 to 150 and 255",
    ),
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_left_out_with_one_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, preset, spoil, message = BROKEN[what]
    shrink(preset, monkeypatch)
    shutil.copytree(made_data.made(layout), tmp_path / "data")
    spoil(tmp_path / "data")
    words = ("train", "--data", f"{layout}:{tmp_path / 'data'}", "--preset", preset, "--out", tmp_path / "out", *MODEST)
    assert command_line.run(*words, *WITHOUT_VGG, "--stage", "warmup") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": left out: " in line]
    assert line.startswith(f"midms: note: left out: {tmp_path / 'data'}") and message in line
    assert {*read_folder(tmp_path / "out").recipe.made} == {"warmup"}


def test_a_list_that_names_an_absent_file_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(made_data.made("lsun-church"), tmp_path / "data")
    with (tmp_path / "data" / "lsun_church_ref.txt").open("a") as file:
        file.write("picture_0000.jpg,gone.jpg\n")
    words = ("train", "--data", f"lsun-church:{tmp_path / 'data'}", "--preset", "midm-church", *MODEST)
    assert command_line.run(*words, "--out", tmp_path / "out") == 2
    assert "lsun_church_ref.txt: names files that are not there: gone.jpg" in command_line.complaint(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("default")
def test_too_many_broken_files_are_told_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though one step reads two pairs; where as many are allowed, they are in the record."""
    shutil.copytree(made_data.made("folder"), tmp_path / "data")
    broken = [tmp_path / "data" / f"{i}.jpg" for i in (2, 10, 20)]
    for path in broken:
        made_data.truncated(path)
    out = tmp_path / "out"
    words = ("train", "--data", f"folder:{tmp_path / 'data'}", "--stage", "autoencoder", "--out", out, *MODEST)
    assert command_line.run(*words) == 2
    line = command_line.complaint(capsys)
    assert "3 pairs or files cannot be read, --max-broken allows 1: " in line and all(
        str(one) in line for one in broken
    )
    assert not out.exists()
    assert command_line.run(*words, "--max-broken", 0.1) == 0
    assert capsys.readouterr().err.count("midms: note: left out: ") == 3
    assert read_folder(out).recipe.made["autoencoder"]["left out"] == 3
