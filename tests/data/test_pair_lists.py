"""Lists and tables of pairs: what stands twice, of which one would be lost; paths through links."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_data import pairs_of, solid

from midms.data.errors import DatasetError
from midms.data.files import _json
from midms.data.pair_lists import read_pair_list, read_rows
from midms.images import PictureError
from midms.pipeline.retrieval import write_pairs


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
    found = read_pair_list(tmp_path / "ref.txt", tmp_path, lambda name: True)
    assert found == {"a.png": ["b.png", "c.png", "d.png"], "c.png": ["a.png"]}


def test_keypoints_in_a_tar_file_too(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"a.json: cannot be read as JSON \(has 'people' twice in a mapping\)"):
        _json(b'{"people": [], "people": [{}]}', "a.json")


@pytest.mark.parametrize("pictures", ["photos", "link", "deep/link"])
@pytest.mark.parametrize("table", ["a.csv", "photos/a.csv", "away/a.csv", "deep/link/a.csv"])
@pytest.mark.parametrize("read_as", ["photos", "link", "deep/link"])
def test_pairs_are_found_again_through_links(pictures: str, table: str, read_as: str, tmp_path: Path) -> None:
    names = solid(tmp_path / "photos", 3)
    (tmp_path / "elsewhere" / "far").mkdir(parents=True)
    (tmp_path / "deep").mkdir()
    (tmp_path / "away").symlink_to("elsewhere/far")
    (tmp_path / "link").symlink_to("photos")
    (tmp_path / "deep" / "link").symlink_to(tmp_path / "photos")
    found = iter([(0, torch.ones(1), torch.tensor([2]))])
    write_pairs(found, tmp_path / pictures, names, tmp_path / table, None)
    assert read_pair_list(tmp_path / table, tmp_path / read_as, lambda name: name in names) == {names[0]: [names[2]]}
    (row,) = read_rows(tmp_path / table)
    assert (tmp_path / table).parent.joinpath(row["target"]).samefile(tmp_path / "photos" / names[0])


def test_what_is_not_there_is_called_as_the_list_has_it(tmp_path: Path) -> None:
    solid(tmp_path / "photos", 3)
    (tmp_path / "a.csv").write_text("target,exemplar\nphotos/0.png,./photos/7.png\nphotos/1.png,0.png")
    with pytest.raises(DatasetError, match=r"a.csv: names files that are not there: ./photos/7.png, 0.png$"):
        pairs_of("folder", tmp_path / "photos", pairs=tmp_path / "a.csv")
    (tmp_path / "train.txt").write_text("img/0.png")
    (tmp_path / "photos").rename(tmp_path / "img")
    (tmp_path / "deepfashion_ref.txt").write_text("img\\0.png,img\\7.png")
    with pytest.raises(DatasetError, match=r"deepfashion_ref.txt: names files that are not there: img\\7.png$"):
        pairs_of("deepfashion-pose", tmp_path)
