"""What a person should know of results is said once, whatever it was noticed by."""

from __future__ import annotations

from pathlib import Path

import command_line
import numpy as np
import pytest
from PIL import Image

from midms import build, create
from midms.images import reading

INEXACT = "the inversion is not exact: a step misses"


def test_an_inversion_that_is_not_exact_is_a_warning_of_the_results_said_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sketches, photos = folder / "sketches", folder / "photos"
    (sketches / "c.png").unlink()
    (photos / "c.jpg").unlink()
    given = "--condition", sketches, "--exemplar", photos, "--out", folder / "out", "--start", "invert", "--batch", 2
    assert command_line.run("translate", *given) == 0
    said = capsys.readouterr().err
    assert said.count(INEXACT) == 1 and f"warning: all 2 results: {INEXACT}" in said

    pipe = build("midm-faces", start="invert")
    result = pipe.translate(sketches / "a.png", photos / "a.jpg")
    assert [line.startswith(INEXACT) for line in result.warnings].count(True) == 1
    with pytest.warns(UserWarning, match=INEXACT):
        pipe(result.condition_map[None], 0 * result.condition_map[None, :1].expand(1, 3, -1, -1))


def test_pictures_that_use_few_of_their_bits_are_noted_once_by_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of a training are read by its data set."""
    said, numbers = "its numbers stay within 12 of 16 bits", np.random.default_rng(0)
    deep = tmp_path / "deep"
    deep.mkdir()
    for name in range(4):
        Image.fromarray(numbers.integers(0, 2**12, (64, 64), dtype=np.uint16)).save(deep / f"{name}.png")

    def in_pairs() -> int:
        return command_line.run("pairs", deep, "--out", tmp_path / "pairs.csv")

    def in_evaluation() -> int:
        return command_line.run("evaluate", deep, "--against", deep, "--metrics", "psnr", "--out", tmp_path / "page")

    def in_training() -> int:
        pairs = create("dataset", "folder", path=str(deep), size=64, condition="edges", split="train")
        return len([pairs[number] for number in range(len(pairs))]) < 2

    for reads in (in_pairs, in_evaluation, in_training):
        monkeypatch.setattr(reading, "_LOGGED", set())
        caplog.clear()
        assert reads() == 0
        assert caplog.text.count(said) == 1
