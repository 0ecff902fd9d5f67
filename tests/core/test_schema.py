"""What a file says is read within bounds and told in one line."""

import os
from functools import partial
from typing import Annotated

import pytest

from midms.core.files import read_regular
from midms.core.schema import Schema, checked, matching_text, read_json, read_yaml


class Sizes(Schema):
    widths: list[int]
    layers: int = 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"widths": 3}, "net.json: widths: expected a list, got 3"),
        ({"widths": {"x": 3}}, "widths: expected a list, got {'x': 3}"),
        ({"widths": [1, "x"]}, "widths.1: expected a whole number, got 'x'"),
        ({"widths": [], "layers": 1.5}, "layers: expected a whole number, got 1.5"),
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"widths": [1], "widths": [2]}'),
        ("a.json", '{"x": [{"y": 1, "widths": 1, "widths": 1}]}'),
        ("a.yaml", "widths: 1\nwidths: 2\n"),
        ("a.yaml", 'widths: 1\n"widths": 2\n'),
        ("a.yaml", "x:\n  - {y: 1, widths: 1, widths: 1}\n"),
    ],
)
def test_a_name_that_is_there_twice_is_told(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    read = read_json if name.endswith("json") else partial(read_yaml, most=100)
    with pytest.raises(KeyError, match="has 'widths' twice in a mapping"):
        read(tmp_path / name, error=KeyError)


def test_other_names_are_each_there_once(tmp_path):
    (tmp_path / "a.yaml").write_text("<<: {a: 1, b: 3}\na: 2\n'1': x\n1: y\n")
    assert read_yaml(tmp_path / "a.yaml", KeyError, 100) == {"a": 2, "b": 3, "1": "x", 1: "y"}
    (tmp_path / "a.json").write_text('{"a": {"a": 1}, "A": 2}')
    assert read_json(tmp_path / "a.json", KeyError) == {"a": {"a": 1}, "A": 2}


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


class Named(Schema):
    file: Annotated[str, matching_text(r"\w+\.bin", "a name such as a.bin")]


@pytest.mark.parametrize("file", ["a.txt", "../a.bin", "a.bin\n", "x" * 1000])
def test_how_a_text_is_written_is_said_in_words(file):
    with pytest.raises(KeyError, match=r"file: expected a name such as a\.bin, got '") as error:
        checked(Named, {"file": file}, "net.json", KeyError)
    assert len(error.value.args[0]) < 200 and checked(Named, {"file": "a.bin"}, "net.json", KeyError).file == "a.bin"
