"""What stands twice in a list or table, of which one would be lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_data import solid
from test_layouts import pairs_of

from midms.data.errors import DatasetError
from midms.data.files import _json
from midms.data.pair_lists import read_pair_list, read_rows
from midms.images import PictureError


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "target,exemplar,target\n0.png,1.png,2.png", "a.csv: has the column target twice"),
        ("a.jsonl", '{"target": "0.png"}\n{"target": "0.png", "target": "1.png"}', "line 2: .*has 'target' twice"),
    ],
)
def test_a_column_that_a_table_has_twice_is_told(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=said):
        read_rows(tmp_path / name)


def test_columns_without_a_name_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("target,,\n0.png,x,y")
    assert read_rows(tmp_path / "a.csv") == [{"target": "0.png"}]


def test_two_columns_of_one_meaning_are_told(tmp_path: Path) -> None:
    solid(tmp_path, 3)
    (tmp_path / "metadata.csv").write_text("file_name,condition,condition_file_name\n0.png,1.png,2.png")
    with pytest.raises(DatasetError, match="has condition and condition_file_name, which are the same column"):
        pairs_of("imagefolder", tmp_path)


def test_a_target_that_a_list_has_twice_has_the_exemplars_of_both(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("a.png,b.png\nc.png,a.png\na.png,c.png,d.png")
    assert read_pair_list(tmp_path / "ref.txt", tmp_path) == {"a.png": ["b.png", "c.png", "d.png"], "c.png": ["a.png"]}


def test_keypoints_in_a_tar_file_too(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"a.json: cannot be read as JSON \(has 'people' twice in a mapping\)"):
        _json(b'{"people": [], "people": [{}]}', "a.json")
