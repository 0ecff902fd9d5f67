"""The page on the released models says what the results file says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.released import __main__ as released
from benchmarks.results import RESULTS


def test_the_page_and_the_readme_are_those_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "docs/released.md"):
        (tmp_path / name).write_text((released.ROOT / name).read_text())
    monkeypatch.setattr(released, "ROOT", tmp_path)
    released.main()
    for name in ("README.md", "docs/released.md"):
        assert (tmp_path / name).read_text() == (Path(__file__).parents[2] / name).read_text(), name


def test_what_was_measured_is_what_the_released_schedule_needs() -> None:
    result = json.loads((RESULTS / "inference-midm-celeba.json").read_text())
    rows = result["rows"]
    calls = {name: (row["U-Net calls"], row["decode calls"]) for name, row in rows.items()}
    assert calls.pop("as released") == (29, 7) and set(calls.values()) == {(24, 1)}
    assert rows["midms"]["PSNR"] == 200 and rows["midms, Winograd"]["PSNR"] > 60
    assert result["parameters"] == {"features": 24_928_900, "denoiser": 274_056_163, "autoencoder": 55_322_782}
    assert all(result[key] for key in ("command", "date", "versions", "hardware", "threads"))


def test_marks_that_are_missing_are_told(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(ValueError, match="has no marks"):
        released.between(tmp_path / "page.md", "figures", "x")
