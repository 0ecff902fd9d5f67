"""From a layout on disk to a picture: `midms train`, then `midms translate` by what it left."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import command_line
import made_data
import pytest
from PIL import Image
from small_presets import small

from midms.checkpoints.folder import read_folder
from midms.compose.presets import PRESETS

MODEST = ("--device", "cpu", "--workers", 0, "--log-with", "none", "--steps", 1, "--batch", 2, "--size", 64)


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
def test_a_layout_of_the_field_trains_the_papers_stages(
    layout: str, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--init` the parts that no stage trains stay random: this is said, and they are kept with the rest."""
    recipe = PRESETS[preset]
    monkeypatch.setitem(PRESETS, preset, dataclasses.replace(recipe, slots={**recipe.slots, **small(preset)}))
    out, terms = tmp_path / "out", '{"perc": 0, "feat": 0, "ctx": 0}'
    words = ("train", "--data", f"{layout}:{made_data.made(layout)}", "--preset", preset, "--out", out, *MODEST)
    assert command_line.run(*words, "--terms", terms) == 0
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
