"""What is wrong with one pair or one cell of a table is said, and no other pair is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from midms import evaluate
from midms.images import resize, to_pil
from midms.testing.laws import normals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four results of 16 x 16 pixels but the second, of 8 x 8, and their answers."""
    for kind, seed in (("results", 0), ("real", 1)):
        (tmp_path / kind).mkdir()
        for i, picture in enumerate(normals(seed, 4, 3, 5, 5).float().clamp(-1, 1).split(1)):
            to_pil(resize(picture, (8, 8) if i == 1 else (16, 16))).save(tmp_path / kind / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("batch", [1, 8])
def test_a_metric_loses_the_pairs_alone_with_which_it_fails(folder: Path, batch: int) -> None:
    found = evaluate(folder / "results", folder / "real", metrics=["ssim", "psnr"], batch=batch, progress=False)
    counts = {figure.name: figure.count for figure in found.figures}
    assert counts == {"SSIM": 3, "PSNR": 4}
    assert found.failures == ("ssim: failed at 1 (SSIM is of pictures of 11 x 11 pixels at least, got 8 x 8)",)


def test_a_cell_that_is_no_text_is_named(folder: Path) -> None:
    rows = [{"key": str(i), "target": f"real/{i}.png"} for i in range(4)]
    rows[0]["exemplar"] = ["real/1.png"]  # type: ignore[assignment]
    rows[2]["exemplar"] = ["real/1.png", "real/3.png"]  # type: ignore[assignment]
    rows[3]["target"] = {"a": 1}  # type: ignore[assignment]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = evaluate(folder / "results", pairs=folder / "pairs.jsonl", metrics=["psnr"], progress=False)
    assert [*found.figures[0].each] == ["0", "1", "2"]
    several, mapping = found.failures
    assert several.endswith("pairs.jsonl, row 3: exemplar: expected a text, got ['real/1.png', 'real/3.png']")
    assert mapping.endswith("row 4: target: expected a text, got {'a': 1}")


def test_a_cell_in_no_column_is_named(folder: Path) -> None:
    (folder / "pairs.csv").write_text("key,target\n0,real/0.png,more\n2\n3,real/3.png\n")
    found = evaluate(folder / "results", pairs=folder / "pairs.csv", metrics=["psnr"], progress=False)
    assert [*found.figures[0].each] == ["0", "3"]
    assert any("row 1: has 'more' in no column that has a name" in line for line in found.failures)
