"""`midms` in this process, for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from midms import cli


def run(*words: object) -> int:
    """The exit status, also that of a usage error."""
    try:
        return cli.main([*map(str, words)])
    except SystemExit as leave:
        assert isinstance(leave.code, int)
        return leave.code


def translate(pair: Path, out: Path, *more: object, condition: str = "condition.png") -> int:
    return run("translate", "--condition", pair / condition, "--exemplar", pair / "exemplar.png", "--out", out, *more)


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line and ": note: " not in line]
    return line
