"""Hints from the shell: files, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import command_line
import pytest
from PIL import Image

from midms import build
from midms.images import PictureError
from midms.pipeline.hints import PixelAnchor, read_hints


def typed(folder: Path, *more: object, condition: str = "sketches/a.png", out: str = "out.png") -> int:
    options = ["--condition", folder / condition, "--exemplar", folder / "photos/a.jpg", "--out", folder / out]
    return command_line.run("translate", *options, *more)


def test_hints_from_the_shell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of hints are those of `translate`; what is wrong with one is said before anything is loaded."""
    anchors, colours = folder / "anchors.json", folder / "colours.json"
    anchors.write_text('[{"here": [60, 45], "there": [10, 10], "radius": 30}]')
    colours.write_text('[{"here": [5, 5], "colour": "red"}]')
    assert typed(folder, "--anchors", anchors, "--colours", colours) == 0
    found = build("midm-faces").translate(
        folder / "sketches/a.png", folder / "photos/a.jpg", seed=0, anchors=str(anchors), colours=colours
    )
    with Image.open(folder / "out.png") as image:
        assert image.convert("RGB").tobytes() == found.image.tobytes()
    assert capsys.readouterr().err.count("midms: warning: colours: a hint only draws") == 1
    assert typed(folder, "--colours", colours, condition="sketches", out="all") == 2
    assert command_line.complaint(capsys).startswith(
        f"midms: --colours: {colours} is of one drawing and its exemplars, expected"
    )
    colours.write_text('[{"here": [5, 5], "color": "red"}]')
    assert typed(folder, "--colours", colours) == 2
    assert command_line.complaint(capsys).startswith(f"midms: {colours}[0]: ")
    assert typed(folder, "--anchors", anchors, out="anchors.json") == 2
    assert command_line.complaint(capsys).startswith(f"midms: {anchors}: ")
    assert typed(folder, "--anchors", folder / "none.json") == 2
    assert command_line.complaint(capsys) == f"midms: {folder / 'none.json'}: no such file or folder"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{"here": [1, 2]}', ": expected a list of anchors, got {'here': [1, 2]}"),
        ("null", ": expected a list of anchors, got None"),
        ("[[1, 2]]", "[0]: expected values by name, got [1, 2]"),
        (
            '[{"here": "1,2", "there": [1, "2"]}]',
            "[0]: here: expected a list, got '1,2'; there.1: expected a number, got",
        ),
        ('[{"here": [1, 2, 3], "there": [1, 2]}]', "[0]: here: list must have at most 2 items, not 3, got [1, 2, 3]"),
        (
            '[{"here": [1, 2], "there": [1, 2], "here": [3, 4]}]',
            ": cannot be read as JSON (has 'here' twice in a mapping)",
        ),
    ],
)
def test_what_is_wrong_in_a_file_of_hints_is_told_in_words_of_json(written: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "anchors.json"
    path.write_text(written)
    with pytest.raises(PictureError) as error:
        read_hints(PixelAnchor, path, "anchors")
    assert str(error.value).startswith(f"{path}{said}")
