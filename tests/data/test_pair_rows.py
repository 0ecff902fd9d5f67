"""Rows of tables that are translated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from midms.data.pair_rows import read_pair_rows
from midms.pipeline.manifest import Share

ROWS = [{"condition": "in/a.png", "exemplar": ["b.png", "c.png"], "exemplar_condition": None}]
KNOWN = [("a", "in/a.png", ("b.png", "c.png"), ())]


def test_json_lines_have_lists(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS[0]))
    assert read_pair_rows(tmp_path / "a.jsonl", Share().has).rows == KNOWN


def test_keys_may_be_numbers_and_names_hold_what_else_ends_lines(tmp_path: Path) -> None:
    """As ids of data sets are, and as JSON may be written."""
    (tmp_path / "a.jsonl").write_text('{"key": 5, "condition": "a\u2028b.png", "exemplar": "c.png"}\r\n\r\n')
    assert read_pair_rows(tmp_path / "a.jsonl", Share().has).rows == [("5", "a\u2028b.png", ("c.png",), ())]


def test_a_parquet_table_has_lists(tmp_path: Path) -> None:
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    parquet.write_table(arrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read_pair_rows(tmp_path / "a.parquet", Share().has).rows == KNOWN


def test_shares_are_all_of_the_pairs_and_no_pair_is_in_two(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["condition,exemplar", *(f"{i}.png,b.png" for i in range(300))]))
    shares = [{row.key for row in read_pair_rows(tmp_path / "a.csv", Share(i, 7).has).rows} for i in range(7)]
    assert sum(map(len, shares)) == 300 == len(set().union(*shares)) and all(25 < len(share) < 65 for share in shares)
