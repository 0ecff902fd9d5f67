"""What a file says is read within bounds and told in one line."""

import os

import pytest

from midms.core.files import read_regular
from midms.core.schema import Schema, checked, read_json


class Sizes(Schema):
    widths: list[int]
    layers: int = 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"widths": 3}, "net.json: widths: "),
        ({"widths": [1, "x"]}, "widths.1: "),
        ({}, "has no widths"),
        ({"widths": [], "heads": 2}, "heads: "),
        ([1], "got [1]"),
        ({"widths": [float("nan")] * 5}, "and 2 more"),
    ],
)
def test_a_field_that_is_wrong_is_named_in_one_line(content, said):
    with pytest.raises(KeyError) as error:
        checked(Sizes, content, "net.json", KeyError)
    text = error.value.args[0]
    assert said in text and text.startswith("net.json: ") and "\n" not in text


def test_values_nested_without_end_are_told_briefly():
    bomb = ["x" * 1000]
    for _ in range(30):
        bomb = [bomb] * 9
    with pytest.raises(KeyError) as error:
        checked(Sizes, {"widths": bomb}, "net.json", KeyError)
    assert len(error.value.args[0]) < 1000


def test_only_regular_files_of_bounded_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for path, said in [
        (tmp_path / "pipe", "is a pipe, expected a regular file"),
        (tmp_path, "is a folder, expected a regular file"),
        (tmp_path / "large", "11 bytes, expected at most 10"),
        (tmp_path / "absent", "No such file"),
    ]:
        with pytest.raises(OSError, match=said):
            read_regular(path, 10)
    assert read_regular(tmp_path / "large", 11) == b"x" * 11


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_none_is_an_error_of_the_kind_asked_for(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(KeyError) as error:
        read_json(tmp_path / "a.json", KeyError)
    assert "a.json: cannot be read as JSON" in error.value.args[0]


def test_an_editors_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"widths": [1]}')
    assert read_json(path, KeyError) == {"widths": [1]}
