"""The ledger of an ablation: one writer, whole lines, and what is no line is named."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from ledger_lines import DAMAGED, FIGURES, RUN

from midms.core.files import HeldError
from midms.evaluation.ablation.ledger import SOMETIMES, Ledger, LedgerError


def test_a_folder_is_one_processes_at_a_time(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    with ledger.held():
        with pytest.raises(HeldError, match="is written to by process"), Ledger(ledger.path).held():
            pass
        ledger.add(RUN)
    assert ledger.read() == [RUN] and os.listdir(tmp_path) == ["runs.jsonl"]


@pytest.mark.parametrize("line", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_line_is_named_and_nothing_is_written(tmp_path: Path, line: str) -> None:
    (tmp_path / "runs.jsonl").write_text(f"{json.dumps(RUN)}\n{line}\n{json.dumps(RUN)}\n")
    before = (tmp_path / "runs.jsonl").read_bytes()
    with pytest.raises(LedgerError, match="line 2 is damaged") as caught, Ledger(tmp_path / "runs.jsonl").held():
        pass
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert (tmp_path / "runs.jsonl").read_bytes() == before and os.listdir(tmp_path) == ["runs.jsonl"]


@pytest.mark.parametrize("written", [0, 5])
def test_on_a_full_disk_a_line_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    ledger, write, room = Ledger(tmp_path / "runs.jsonl"), os.write, [written]

    def short(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: (room.pop() and room.append(0)) or 5])

    with ledger.held():
        ledger.add(RUN)
        monkeypatch.setattr(os, "write", short)
        with pytest.raises(LedgerError, match=r"runs\.jsonl: a run cannot be added \(No space left on device\)"):
            ledger.add(RUN | {"id": "2"})
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        ledger.add(RUN | {"id": "3"})
    assert [record["id"] for record in ledger.read()] == ["1", "3"]


@pytest.mark.parametrize("name", SOMETIMES)
def test_a_figure_that_no_pair_has_is_no_damage(tmp_path: Path, name: str) -> None:
    record = {"id": "1", "run": {}, "figures": FIGURES | {name: math.nan}}
    ledger = Ledger(tmp_path / "runs.jsonl")
    ledger.add(record)
    assert math.isnan(ledger.read()[0]["figures"][name])
