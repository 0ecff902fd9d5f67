"""The page on the two checks says what the results file says, and both have the closed forms."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.released import checks
from benchmarks.results import RESULTS

DOCS = Path(__file__).parents[2] / "docs"


def check_closed_forms(rows: dict[str, dict[str, float]], side: int) -> None:
    eighth = side // 8
    for case in ("identity", "mirror image"):
        assert set(rows[case].values()) == {1.0}
    near, far = rows[f"shift by {eighth - 1} of {side}"], rows[f"shift by {eighth} of {side}"]
    assert near["cycle"] == far["cycle"] == 1
    assert near["cycle-released"] == 1 - 2 * (eighth - 1) / side  # what no step sends round the border
    assert far["cycle-released"] == 0
    strangers = rows["unrelated features"]
    assert strangers["cycle"] < strangers["cycle, radius 0.25"] < 0.6


def test_the_shipped_results_have_their_closed_forms() -> None:
    check_closed_forms(json.loads((RESULTS / "checks.json").read_text())["rows"], checks.SIDE)


def test_a_run_leaves_results_page_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    for name, value in {"ROOT": tmp_path, "RESULTS": tmp_path, "SIDE": 32}.items():
        monkeypatch.setattr(checks, name, value)
    monkeypatch.setattr(sys, "argv", ["checks"])
    checks.main()
    result = json.loads((tmp_path / "checks.json").read_text())
    check_closed_forms(result["rows"], 32)
    assert all(result[key] for key in ("command", "date", "versions", "hardware", "threads"))
    assert (tmp_path / "docs" / "checks.md").read_text() == checks.page(result)
    with Image.open(tmp_path / "docs" / "checks.png") as new, Image.open(DOCS / "checks.png") as shipped:
        assert new.size == shipped.size


def test_the_page_is_that_of_the_results() -> None:
    result = json.loads((RESULTS / "checks.json").read_text())
    assert (DOCS / "checks.md").read_text() == checks.page(result)
