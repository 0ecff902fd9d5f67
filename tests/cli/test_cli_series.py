"""`midms translate --series`: what several drawings show has one colour in all results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from PIL import Image, ImageDraw

PLACES = ((0, 0), (14, 2), (-10, 6))
"""Where the same figure stands in each drawing."""
INSIDE = ((28, 26), (40, 57), (40, 76), (40, 24))
"""A pixel of each of its regions, where it stands at (0, 0)."""


def figure(place: tuple[int, int], colours: Sequence[str | None] = (None,) * 4) -> Image.Image:
    picture, (x, y) = Image.new("RGB", (96, 96), "white"), place
    draw, (head, body, leg, nose) = ImageDraw.Draw(picture), colours
    draw.ellipse((22 + x, 8 + y, 58 + x, 44 + y), outline="black", width=2, fill=head)
    draw.rectangle((26 + x, 48 + y, 54 + x, 66 + y), outline="black", width=2, fill=body)
    draw.polygon([(26 + x, 70 + y), (54 + x, 70 + y), (40 + x, 88 + y)], outline="black", fill=leg)
    draw.ellipse((34 + x, 18 + y, 46 + x, 30 + y), outline="black", width=2, fill=nose)
    return picture


def spread(folder: Path) -> int:
    """By how much, of 255, the colours of a region differ between results at most."""
    results = [np.asarray(Image.open(folder / f"{name}.png").convert("RGB")).astype(int) for name in range(3)]
    seen = [[one[v + y, u + x] for u, v in INSIDE] for one, (x, y) in zip(results, PLACES, strict=True)]
    return int(np.ptp(np.array(seen), axis=0).max())


@pytest.fixture
def inputs(tmp_path: Path) -> list[object]:
    (tmp_path / "drawings").mkdir()
    for name, place in enumerate(PLACES):
        figure(place).save(tmp_path / "drawings" / f"{name}.png")
    figure((0, 0), ("red", "blue", "green", "orange")).save(tmp_path / "reference.png")
    return ["translate", "--condition", tmp_path / "drawings", "--exemplar", tmp_path / "reference.png"]


def test_the_same_region_has_one_colour_in_all_results(tmp_path: Path, inputs: list[object]) -> None:
    """With everything that may be written beside them, and several computed at once."""
    usual = *inputs, "--preset", "midm-lineart", "--size", 64, "--finisher", "composite"
    also = [word for name in ("save", "layers", "figure") for word in (f"--{name}", tmp_path / name)]
    assert run(*usual, "--out", tmp_path / "alone") == 0
    assert run(*usual, "--out", tmp_path / "series", "--series", "--batch", 2, *also) == 0
    assert spread(tmp_path / "series") <= 2 < 50 < spread(tmp_path / "alone")
    for name in range(3):
        result = (tmp_path / "series" / f"{name}.png").read_bytes()
        assert (tmp_path / "save" / str(name) / "result.png").read_bytes() == result
        assert (tmp_path / "layers" / str(name) / "colours.png").is_file()
        assert (tmp_path / "figure" / f"{name}.png").is_file()


def test_a_series_that_changes_nothing_is_noted(
    tmp_path: Path, inputs: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    inputs[2] = tmp_path / "drawings" / "0.png"
    quick = "--size", 32, "--series"
    assert run(*inputs, "--out", tmp_path / "one.png", *quick, "--batch", 4) == 0
    said = capsys.readouterr().err
    assert "note: --series changes nothing for one pair" in said and "note: --batch 4 changes nothing for one" in said
    inputs[2] = tmp_path / "drawings"
    assert run(*inputs, "--out", tmp_path / "results", *quick) == 0
    assert "note: --series changes nothing with one picture and no finisher such as" in capsys.readouterr().err
    assert run(*inputs, "--exemplar", inputs[-1], "--out", tmp_path / "results", *quick) == 0
    assert "--series" not in capsys.readouterr().err, "each takes from several pictures"
