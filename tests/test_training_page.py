"""docs/training.md: its data sets, and its figures against the results files; `test_training_commands.py` runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from midms import available

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text()


def test_every_data_set_is_in_the_table_and_no_other() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert sorted(name.strip("`") for row in rows for name in row.split(", ")) == available("dataset")


def test_figures_are_those_that_were_measured() -> None:
    words = " ".join(PAGE.split())
    found = json.loads((ROOT / "benchmarks" / "results" / "retrieval.json").read_text())
    model, vgg, chance = found["rows"]["midm-faces"], found["rows"]["vgg(weights=hed)"], found["chance"]
    assert f"of {found['faces']} portraits in {found['poses']} poses each" in words
    assert f"turned {model['degrees apart']:.1f} degrees" in words
    assert f"any other picture's {chance['degrees apart']:.1f}." in words
    assert f"the same face in {100 * vgg['same face']:.1f} % of cases, any other" in words
    assert f"picture in {100 * chance['same face']:.1f} %." in words
    many = found["100000 pictures"]
    assert f"in {many['CPU minutes']:.1f} minutes of one core and {many['peak GiB']:.1f} GiB" in words
    assert model["degrees apart"] < chance["degrees apart"] / 3 and vgg["same face"] > 10 * chance["same face"]


def test_figures_of_cartoon_faces_are_those_that_were_measured() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "translation-facesjs.json").read_text())
    rows = found["rows"]
    for name in ("exemplar copied", "first warp decoded", "translation"):
        assert f"| {name} | {rows[name]['PSNR']:.1f} | {rows[name]['perceptual']:.3f} |" in PAGE
    minutes = sum(stage["minutes"] for stage in found["made"].values())
    assert f"took {minutes:.0f} minutes of two cores" in PAGE and f"of {found['pairs']} held-out pairs" in PAGE
    others = [row for name, row in rows.items() if name in ("exemplar copied", "first warp decoded")]
    assert all(rows["translation"]["PSNR"] > row["PSNR"] for row in others)
    assert all(rows["translation"]["perceptual"] < row["perceptual"] for row in others)
