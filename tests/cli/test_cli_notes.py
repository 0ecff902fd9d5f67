"""What a person should know of results is said once, whatever it was noticed by."""

from __future__ import annotations

from pathlib import Path

import command_line
import pytest

from midms import build

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
