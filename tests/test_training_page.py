"""docs/training.md, read literally: its commands, its data sets, and its figures against the results file."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from command_line import run
from made_data import drawing, photo

from midms import available, cli
from midms.checkpoints.folder import read_folder
from midms.training.plan import planned

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text()


def commands(name: str) -> list[list[str]]:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"midms {name}")]


def test_every_data_set_is_in_the_table_and_no_other() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert sorted(name.strip("`") for row in rows for name in row.split(", ")) == available("dataset")


def test_exemplars_are_found_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(7):
        photo(i).save(tmp_path / "photos" / f"{i}.png")
    ((_, *words),) = commands("pairs")
    assert run("pairs", *words) == 0
    assert len(Path("pairs.csv").read_text().splitlines()) == 1 + 7 * 5
    assert len(Path("photos_ref.txt").read_text().splitlines()) == 7


@pytest.mark.usefixtures("registries")
def test_a_data_set_of_ones_own_is_trained_on_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (source,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    Path("twins.py").write_text(source)
    Path("PICTURES").mkdir()
    for i in range(4):
        photo(i).save(f"PICTURES/{i}.jpg")
        drawing(i).save(f"PICTURES/{i}.png")
    (words,) = [words for words in commands("train") if "--plugin" in words]
    few = "--stage autoencoder --steps 1 --batch 2 --workers 0 --device cpu --log-with none --size 64"
    assert run(*words, *few.split()) == 0
    assert {*read_folder(Path("runs/twins")).recipe.made} == {"autoencoder"}


def test_every_training_is_typed_as_it_can_be() -> None:
    """The options are there, the preset and its stages too, whatever launches it."""
    launched = [line.split(" -m ")[1] for line in PAGE.splitlines() if re.match("(torchrun|accelerate launch) ", line)]
    typed = [*commands("train"), *(shlex.split(line)[1:] for line in launched), *commands("translate")]
    assert len(typed) >= 4 and len(launched) >= 2
    for words in typed:
        args = cli.parser().parse_args(words)
        assert words[0] == "translate" or planned(args.preset, args.stage, args.terms)


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
