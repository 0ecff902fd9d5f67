"""`midms train` in this process, on a few portraits."""

from __future__ import annotations

from pathlib import Path

import pytest

from midms import cli

PORTRAITS = "portraits(styles=24, geometries=2)"


def train(out: Path, stage: str = "", *more: object, steps: int = 2, preset: str = "midm-faces") -> int:
    modest = ("--device", "cpu", "--workers", 0, "--log-with", "none", *(() if "--batch" in more else ("--batch", 4)))
    arguments = ["train", "--data", PORTRAITS, "--preset", preset, *(["--stage", stage] if stage else [])]
    arguments = [*arguments, "--out", out, "--steps", steps, "--seed", 5, *modest, *more]
    return cli.main([str(argument) for argument in arguments])


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("midms:")]
    return line
