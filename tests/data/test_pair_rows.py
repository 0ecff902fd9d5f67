"""Rows of tables that are translated."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import pytest

from midms.data.errors import DatasetError
from midms.data.pair_rows import read_pair_rows
from midms.pipeline.jobs.manifest import Share

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
    numbered = [row | {"__index_level_0__": 7} for row in ROWS]  # as pandas writes a table of which rows were chosen
    parquet.write_table(arrow.Table.from_pylist(numbered), tmp_path / "a.parquet")
    assert read_pair_rows(tmp_path / "a.parquet", Share().has).rows == KNOWN
    content = (tmp_path / "a.parquet").read_bytes()
    for i, damage in enumerate((b"no", content[:10] + b"\xff" * 30 + content[40:])):
        (tmp_path / f"{i}.parquet").write_bytes(damage)
        with pytest.raises(DatasetError, match=rf"{i}\.parquet: cannot be read [^\n]*$"):
            read_pair_rows(tmp_path / f"{i}.parquet", Share().has)


def test_shares_are_all_of_the_pairs_and_no_pair_is_in_two(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["condition,exemplar", *(f"{i}.png,b.png" for i in range(300))]))
    shares = [{row.key for row in read_pair_rows(tmp_path / "a.csv", Share(i, 7).has).rows} for i in range(7)]
    assert sum(map(len, shares)) == 300 == len(set().union(*shares)) and all(25 < len(share) < 65 for share in shares)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"key": 1.5}, "key: expected a text, got 1.5"),
        ({"key": "a\x1b[2J"}, r"the key 'a\x1b[2J' has control characters"),
        ({"key": True}, "key: expected a text, got True"),
        ({"key": ["k1", "k2"]}, "key: expected a text, got ['k1', 'k2']"),
        ({"key": "\ud800"}, r"key: expected a text, got '\ud800'"),
        ({"exemplar": ["e.png", None, 5, {"a": 1}]}, "exemplar: expected paths, got ['e.png', None, 5, ...]"),
        ({"exemplar": [["e.png"]]}, "exemplar: expected paths, got [['e.png']]"),
        ({"exemplar": False}, "exemplar: expected paths, got False"),
        ({"condition": ["c.png", 7]}, "condition: expected paths, got ['c.png', 7]"),
        ({"condition": "c\0a\0" + "0\0" + "1"}, r"condition: expected paths, got 'c\x00a\x000\x001'"),
        ({"exemplar_condition": [""]}, "exemplar_condition: expected paths, got ['']"),
    ],
)
def test_nothing_of_a_cell_is_left_out(row: dict[str, object], said: str, tmp_path: Path) -> None:
    whole = {"condition": "c.png", "exemplar": "e.png"}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(whole | row)}\n{json.dumps(whole)}")
    found = read_pair_rows(tmp_path / "a.jsonl", Share().has)
    assert found.rows == [("c", "c.png", ("e.png",), ())]
    assert [one.reason for one in found.failures] == [f"{tmp_path}/a.jsonl, row 1: {said}"]


@pytest.mark.parametrize(("header", "more"), [("", ",f.png"), (",,", ",f.png,"), (",", ",f.png")])
def test_cells_in_no_column_are_told(header: str, more: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"condition,exemplar{header}\nb.png,e.png{more}\nc.png,e.png,")
    found = read_pair_rows(tmp_path / "a.csv", Share().has)
    assert found.rows == [("c", "c.png", ("e.png",), ())]
    assert [one.reason for one in found.failures] == [
        f"{tmp_path}/a.csv, row 1: has 'f.png' in no column that has a name"
    ]


@pytest.mark.parametrize("between", [";", "\t"])
def test_spreadsheets_write_other_commas(between: str, tmp_path: Path) -> None:
    rows = [["condition", "exemplar"], ["b,1.png", "e.png"], ["c;2.png", "e.png"]]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=between).writerows(rows)
    found = read_pair_rows(tmp_path / "a.csv", Share().has)
    assert [one.condition for one in found.rows] == ["b,1.png", "c;2.png"] and not found.failures


def tar(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w", errors="surrogateescape") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return path


DOTTED = "v1.5.condition.png", "v1.5.exemplar.jpg"
PASSED = {
    (): "",
    ("notes.txt",): "; passed over: notes.txt",
    ("x/._1.condition.png",): "; passed over: x/._1.condition.png",
    ("a.txt", "b.txt", "c.txt", *DOTTED): f"; passed over: {DOTTED[0]}, {DOTTED[1]}, a.txt and 2 more,"
    " for a key ends at the first dot",
}


@pytest.mark.parametrize("names", PASSED)
def test_a_tar_file_without_pairs_is_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.tar: no pairs in it, expected members such as") as refused:
        read_pair_rows(tar(tmp_path / "a.tar", *names), Share().has)
    assert str(refused.value).endswith(f"0001.exemplar.jpg{PASSED[names]}")


def test_members_whose_keys_have_dots_are_counted_and_named(tmp_path: Path) -> None:
    """A key ends at the first dot, as `webdataset.tariterators.base_plus_ext` has it."""
    names = "a.condition.png", "a.exemplar.png"
    (failure,) = read_pair_rows(tar(tmp_path / "a.tar", *names, *DOTTED, "x/v2.0.EXEMPLAR.png"), Share().has).failures
    assert failure.reason.startswith(f"{tmp_path}/a.tar: has more pairs; passed over: {DOTTED[0]}, ")
    assert failure.reason.endswith("x/v2.0.EXEMPLAR.png, for a key ends at the first dot")
    assert read_pair_rows(tar(tmp_path / "b.tar", *names, "a.txt", "a.depth.png"), Share().has).failures == []
    macs = (f"._{name}" for name in names)  # what tar writes there beside each file
    assert read_pair_rows(tar(tmp_path / "c.tar", *macs, *names), Share().has).failures == []


def test_members_that_are_not_called_in_utf8_are_told(tmp_path: Path) -> None:
    keys = "\udcff", "a"
    names = [f"{key}.{part}.png" for key in keys for part in ("condition", "exemplar")]
    found = read_pair_rows(tar(tmp_path / "a.tar", *names), Share().has)
    assert [row.key for row in found.rows] == ["a"]
    assert [one.reason for one in found.failures] == [
        f"{tmp_path}/a.tar: \udcff: the key '\\udcff' is no text in UTF-8"
    ]
