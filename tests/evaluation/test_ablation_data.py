"""Ablations on data sets other than portraits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from midms import build, cli, register
from midms.data.pair import Pair, collate
from midms.data.portraits.pairs import generators
from midms.evaluation.metrics.pictures import psnr

pytestmark = pytest.mark.filterwarnings("ignore:midm-faces")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "runs.jsonl").read_text().splitlines()]


class Rolled:
    """Random tiles; the exemplar is the picture rolled by one of them."""

    def __init__(self, split: str, size: int, flow: bool = True, condition: Any = None) -> None:
        self.size, self.flow, self.condition, self.first = size, flow, condition, 100 * (split == "train")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Pair:
        tiles = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(self.first + index)) * 2 - 1
        target = torch.nn.functional.interpolate(tiles, (self.size, self.size))
        exemplar = target.roll(self.size // 8, -1)
        line = (torch.arange(self.size) + 0.5) / self.size * 2 - 1
        y, x = torch.meshgrid(line, line, indexing="ij")
        place = torch.stack([x + 0.25, y])[None]
        known = {"flow": place, "visible": place[:, :1] < 1} if self.flow else {}
        return Pair(self.condition.photo(target), exemplar, target, self.condition.photo(exemplar), **known)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("flow", [True, False])
def test_another_data_set_is_measured_on_what_it_knows(
    flow: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that it has, the figures as computed by hand; the folder takes no other data set."""
    register("dataset", "rolled")(Rolled)
    words = ["ablate", "--vary", "confidence=preset,always", "--out", str(tmp_path)]
    assert cli.main([*words, "--data", f"rolled(flow={flow})"]) == 0
    records = lines(tmp_path)
    assert {(record["data"], record["pairs"], record["split"]) for record in records} == {
        (f"rolled(flow={flow})", 3, "validation")
    }
    figures = records[0]["figures"]
    assert all((name in figures) == flow for name in ("EPE px", "PCK@0.05", "AUROC", "first PCK@0.05"))
    assert ("EPE px" in (tmp_path / "table.md").read_text()) == flow
    pipe = build("midm-faces")
    pair = collate([Rolled("validation", 64, flow, pipe.condition)[i] for i in range(3)])
    image = pipe(pair.condition, pair.exemplar, pair.exemplar_condition, generator=generators(0, range(3)))
    expected = psnr(image, pair.target, torch.ones(3, 64, 64, dtype=torch.bool))
    assert records[0]["each"]["PSNR"] == pytest.approx(expected.tolist(), abs=1e-3)
    assert "rolled" in (tmp_path / "report.html").read_text() and (tmp_path / "sheet.png").exists()
    before = (tmp_path / "runs.jsonl").read_bytes()
    assert cli.main([*words, "--data", f"rolled(flow={flow})"]) == 0
    assert (tmp_path / "runs.jsonl").read_bytes() == before
    capsys.readouterr()
    assert cli.main(words) == 2
    assert f"holds runs on rolled(flow={flow}), these are on portraits; choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("rolled", "no dataset is called 'rolled'"),
        ("folder:nowhere", "nowhere"),
        ("portraits(size=64)", "data set portraits(size=64): takes no size here, which the model gives"),
    ],
)
def test_data_sets_that_cannot_be_measured_are_refused(
    data: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["ablate", "--vary", "matcher=preset", "--data", data, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not (tmp_path / "out").exists()
