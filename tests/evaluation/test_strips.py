"""A finished ablation whose files were exchanged: whatever stands for a strip of results, the sheet is made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_files import ANYTHING
from hostile import outcome, refused
from PIL import Image

ABLATE = ["ablate", "--vary", "matcher=preset", "--pairs", "1", "--out", "which"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an ablation."""
    folder = tmp_path_factory.mktemp("ablation")
    assert outcome(ABLATE, folder).status == 0
    return folder


def picture(*size: int) -> Callable[[Path], object]:
    return lambda path: Image.new("RGB", size).save(path, "png")


STRIPS: dict[str, Callable[[Path], object]] = ANYTHING | {
    "a strip of too many": picture(128, 64),
    "a large strip": picture(8192, 8192),
    "another format": lambda path: Image.new("RGB", (64, 64)).save(path, "bmp"),
}


@pytest.mark.parametrize("case", STRIPS)
def test_a_strip_that_is_none_is_lost(case: str, done: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(done, tmp_path / "f")) / "which"
    (strip,) = (out / "pictures").iterdir()
    strip.unlink()
    (out / "sheet.png").unlink()
    STRIPS[case](strip)
    said = outcome(ABLATE, tmp_path / "f")
    assert said.status == 0 and "which/sheet.png" in said.changed, said
    assert not any("Traceback" in line for line in said.err) and said.seconds < 5, said
    os.remove(strip) if strip.is_symlink() or not strip.is_dir() else strip.rmdir()
    (out / "sheet.png").rename(out / "before.png")
    assert outcome(ABLATE, tmp_path / "f").status == 0
    assert (out / "sheet.png").read_bytes() == (out / "before.png").read_bytes()


def test_a_line_of_another_run_is_refused(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "f"))
    ledger = folder / "which" / "runs.jsonl"
    record = json.loads(ledger.read_text())
    ledger.write_text(json.dumps(record | {"run": {"confidence": "always"}}) + "\n")
    assert f"{record['id']} is another run" in refused(ABLATE, folder)
