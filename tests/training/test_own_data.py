"""Training on a data set of one's own, whose pairs have a flow or none."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from midms import cli, from_pretrained, register
from midms.checkpoints.folder import read_folder
from midms.compose.spec import Spec
from midms.conditions.sketch import Sketch
from midms.data.errors import DatasetError
from midms.data.pair import Pair
from midms.training.data import split_datasets, training_data
from midms.training.start import recipe_for


class Tiles:
    """Random tiles; the exemplar is the picture rolled by one of them."""

    def __init__(self, split: str, size: int, flow: bool = True, condition: Any = None) -> None:
        self.split, self.size, self.flow, self.condition = split, size, flow, condition

    def __len__(self) -> int:
        return 12 if self.split == "train" else 3

    def __getitem__(self, index: int) -> Pair:
        generator = torch.Generator().manual_seed(2 * index + (self.split == "train"))
        target = F.interpolate(torch.rand(1, 3, 8, 8, generator=generator) * 2 - 1, (self.size, self.size))
        exemplar = target.roll(self.size // 8, -1)
        line = (torch.arange(self.size) + 0.5) / self.size * 2 - 1
        y, x = torch.meshgrid(line, line, indexing="ij")
        place = torch.stack([x + 0.25, y])[None]
        maps = self.condition.photo(target), self.condition.photo(exemplar)
        known = {"flow": place, "visible": place[:, :1] < 1} if self.flow else {}
        return Pair(maps[0], exemplar, target, maps[1], **known)


def train(out: Path, flow: bool, *more: object) -> int:
    words = [
        "train",
        "--data",
        f"tiles(flow={flow})",
        "--preset",
        "midm-faces",
        "--out",
        out,
        "--steps",
        1,
        *MODEST,
        *more,
    ]
    return cli.main([str(word) for word in words])


FIVE = torch.zeros(1, 5, 8, 8)
MODEST = ("--device", "cpu", "--workers", 0, "--log-with", "none", "--steps", 1, "--batch", 2)


@pytest.mark.usefixtures("registries")
def test_a_run_does_not_go_on_with_other_pictures_of_the_same_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    register("dataset", "tiles")(Tiles)
    usual = Tiles.__getitem__
    assert train(tmp_path, True, "--stage", "autoencoder") == 0
    monkeypatch.setattr(Tiles, "__getitem__", lambda self, index: inverted(usual(self, index)))
    capsys.readouterr()
    assert train(tmp_path, True, "--stage", "autoencoder") == 2
    assert "autoencoder was made with some pairs " in capsys.readouterr().err


def inverted(pair: Pair) -> Pair:
    return dataclasses.replace(pair, target=-pair.target)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("flow", [True, False])
def test_every_stage_trains_on_it(flow: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The match by the flow where there is one, by colours where there is none, and by MIDMs' losses if asked."""
    register("dataset", "tiles")(Tiles)
    weak = {"domain", "cycle", "reconstruction", "colours"}
    terms = () if flow else ("--terms", '{"domain": 1, "cycle": 1, "reconstruction": 1}')
    assert train(tmp_path, flow, *terms) == 0
    made = read_folder(tmp_path).recipe.made
    assert [*made] == ["autoencoder", "matching", "diffusion"]
    assert made["matching"]["dataset"] == f"tiles(flow={flow})" and made["matching"]["pairs"] == 12
    losses, held_out = made["matching"]["last losses"], made["matching"]["held out"]
    assert {name for name in ("exact", "distance", *weak) if losses[name]} == ({"exact", "distance"} if flow else weak)
    assert losses["visibility"] > 0 and ("initial pck@0.05" in held_out) == flow == (
        "initial warp error" not in held_out
    )
    assert {*made["diffusion"]["held out"]} == {"psnr", "first warp psnr"}
    image = from_pretrained(tmp_path)(torch.rand(1, 2, 64, 64), torch.rand(1, 3, 64, 64) * 2 - 1)
    assert image.shape == (1, 3, 64, 64) and image.isfinite().all()
    card = (tmp_path / "README.md").read_text()
    assert (tmp_path / "sheet.png").exists() and "sheet.png" in card
    assert "Trained on the data set tiles at 64 pixels." in card and "portrait" not in card
    capsys.readouterr()
    assert train(tmp_path, flow, *terms) == 0
    result = capsys.readouterr().out.splitlines()
    assert result == [f"{stage}: trained already" for stage in ("autoencoder", "matching", "diffusion")]


@pytest.mark.usefixtures("registries")
def test_losses_that_need_a_flow_are_refused_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register("dataset", "tiles")(Tiles)
    assert train(tmp_path, False, "--stage", "autoencoder") == 0
    capsys.readouterr()
    assert train(tmp_path, False, "--stage", "matching", "--terms", '{"exact": 1}') == 2
    assert "terms exact: need a flow, which the pairs of this data set do not have" in capsys.readouterr().err


def pairs(**changes: Any) -> list[Pair]:
    names = {"condition": 2, "exemplar": 3, "target": 3, "exemplar_condition": 2}
    return [Pair(**{name: torch.zeros(1, channels, 8, 8) for name, channels in names.items()} | changes)] * 3


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "data set mine: has 0 pairs to train on and 0 held out"),
        (pairs(exemplar=torch.zeros(1, 3, 8, 16), exemplar_condition=None), r"one size, .* got \(1, 3, 8, 16\)"),
        (pairs(exemplar_condition=None), "exemplar_condition None"),
        (pairs(condition=FIVE, exemplar_condition=FIVE), "conditions have 5 channels, the preset's 2"),
        ([(FIVE, FIVE)], "data set list: pair 0: is a tuple, expected a midms.data.pair.Pair"),
        (pairs(exemplar=FIVE[:, :3] + 254), r"exemplar goes from 254 to 254, expected numbers in \[-1, 1\]"),
        ([Pair(*(torch.zeros(1, c, 6, 6) for c in (2, 3, 3, 2)))], "is 6 x 6 pixels, expected a shorter side of 8"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(data: list[Pair], message: str, tmp_path: Path) -> None:
    @register("dataset", "mine")
    def mine(split: str, size: int) -> list[Pair]:
        return data

    with pytest.raises(DatasetError, match=message):
        training_data(split_datasets(Spec("mine"), 8, Sketch()), 2, tmp_path)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pair: dataclasses.replace(pair, target=pair.target * torch.nan), "pair 3: target holds numbers"),
        (lambda pair: dataclasses.replace(pair, flow=None, visible=None), "flow: 1 of 2 pairs have it"),
    ],
)
def test_a_bad_pair_among_good_ones_is_named(
    workers: int, change: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """In one line, whichever process read it."""
    register("dataset", "tiles")(Tiles)
    usual = Tiles.__getitem__
    monkeypatch.setattr(Tiles, "__getitem__", lambda self, i: change(usual(self, i)) if i == 3 else usual(self, i))
    assert train(tmp_path, True, "--stage", "autoencoder", "--steps", 6, "--workers", workers) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("midms: "))
    assert line.startswith("midms: data set") and message in line


@pytest.mark.usefixtures("registries")
def test_conditions_are_read_by_what_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the channels that these have; a run does not change what reads them."""
    register("dataset", "tiles")(Tiles)
    stage = ("--stage", "autoencoder")
    assert train(tmp_path, False, *stage, "--condition-from", "edges") == 0
    assert read_folder(tmp_path).recipe.slots["condition"].name == "edges"
    photo = recipe_for("midm-faces", condition=Spec("photo"))
    assert {photo.slots[slot].arguments["condition_channels"] for slot in ("features", "denoiser")} == {3}
    capsys.readouterr()
    assert train(tmp_path, False, *stage) == 2
    assert "condition" in capsys.readouterr().err
