"""Files that are damaged, of another kind or made to do harm: each is refused in a line, soon, and nothing is left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from bad_files import JSONS, PICKLES, PLAIN, SAFETENSORS, YAMLS
from checkpoints_of_others import LDM
from hostile import TRANSLATE, refused, white_pictures

from midms.compose.recipe import SHIPPED


@pytest.mark.parametrize("case", PICKLES)
def test_a_pickle_is_refused(case: str, tmp_path: Path) -> None:
    PICKLES[case](tmp_path / "bad.pth")
    line = refused(["convert", "bad.pth", "--config", LDM, "--out", "out"], tmp_path)
    assert "bad.pth" in line


@pytest.mark.parametrize("case", YAMLS)
def test_a_yaml_is_refused(case: str, tmp_path: Path) -> None:
    YAMLS[case](tmp_path / "bad.yaml")
    torch.save(PLAIN, tmp_path / "weights.pth")
    line = refused(["convert", "weights.pth", "--config", "bad.yaml", "--out", "out"], tmp_path)
    assert "bad.yaml" in line


@pytest.mark.parametrize("case", SAFETENSORS)
def test_safetensors_are_refused(case: str, tmp_path: Path) -> None:
    white_pictures(tmp_path)
    weights = tmp_path / "weights"
    shutil.copytree(SHIPPED / "midm-faces", weights)
    (weights / "features.safetensors").unlink()
    SAFETENSORS[case](weights / "features.safetensors")
    line = refused([*TRANSLATE, "--weights", "weights"], tmp_path)
    assert "features.safetensors" in line


@pytest.mark.parametrize("case", JSONS)
def test_keypoints_are_refused(case: str, tmp_path: Path) -> None:
    white_pictures(tmp_path)
    JSONS[case](tmp_path / "bad.json")
    given = ["--condition", "bad.json", "--exemplar", "face.png", "--exemplar-condition", "bad.json"]
    line = refused(["translate", *given, "--condition-from", "deepfashion-pose", "--out", "out.png"], tmp_path)
    assert "bad.json" in line


@pytest.mark.parametrize("case", JSONS)
def test_a_composition_is_refused(case: str, tmp_path: Path) -> None:
    white_pictures(tmp_path)
    (tmp_path / "mine").mkdir()
    JSONS[case](tmp_path / "mine" / "config.json")
    line = refused([*TRANSLATE, "--preset", "mine"], tmp_path)
    assert "mine" in line


VALUES = ('"1"', "null", "[1]", "NaN", "1e999", "-1", "true", "1" + 400 * "0")
TERMS = ["", "3", "[1]", "null", "{'domain': 1}", "{", "[" * 9999, *(f'{{"domain": {value}}}' for value in VALUES)]


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: terms[:20])
def test_terms_are_refused(terms: str, tmp_path: Path) -> None:
    line = refused(["train", "--data", "portraits", "--out", "run", "--terms", terms], tmp_path)
    assert "--terms" in line and len(line) < 300
