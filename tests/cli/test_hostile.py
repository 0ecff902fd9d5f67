"""The helper that other tests of hostile input stand on: it passes a clean refusal and nothing else."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import hostile
import pytest
from hostile import outcome, refused


def clean(arguments: list[str]) -> int:
    print("midms: no", file=sys.stderr)
    return 2


def hang(arguments: list[str]) -> int:
    if signal.alarm(1):  # one was set
        time.sleep(60)
    return clean(arguments)


def toil(arguments: list[str]) -> int:
    while time.process_time() < hostile.SECONDS + 0.1:
        pass
    return clean(arguments)


def eat(arguments: list[str]) -> int:
    filled = b"x" * (hostile.MEMORY + 2**20)
    return clean(arguments) if filled else 0


def devour(arguments: list[str]) -> int:
    return clean(arguments) if bytearray(2 * hostile.ROOM) else 0


def raise_an_error(arguments: list[str]) -> int:
    raise ValueError("unforeseen")


def print_a_traceback(arguments: list[str]) -> int:
    print("Traceback (most recent call last): x", file=sys.stderr)
    return 2


def say_two_lines(arguments: list[str]) -> int:
    print("midms: no", file=sys.stderr)
    return clean(arguments)


def say_nothing(arguments: list[str]) -> int:
    return 2


def succeed(arguments: list[str]) -> int:
    clean(arguments)
    return 0


def write(arguments: list[str]) -> int:
    Path("new").mkdir()
    return clean(arguments)


def alter(arguments: list[str]) -> int:
    Path("there.txt").write_text("something else")
    return clean(arguments)


def remove(arguments: list[str]) -> int:
    Path("there.txt").unlink()
    return clean(arguments)


def connect(arguments: list[str]) -> int:
    socket.create_connection(("localhost", 9))
    return clean(arguments)


def start_a_program(arguments: list[str]) -> int:
    subprocess.run(["true"], check=True)
    return clean(arguments)


FAULTS = {
    hang: "status=-14",
    toil: "seconds=2",
    eat: "memory=1",
    devour: "MemoryError",
    raise_an_error: "ValueError: unforeseen",
    print_a_traceback: "Traceback",
    say_two_lines: "no', 'midms: no",
    say_nothing: r"err=\[\]",
    succeed: "status=0",
    write: r"changed=\['new'\]",
    alter: r"changed=\['there.txt'\]",
    remove: r"changed=\['there.txt'\]",
    connect: "socket",
    start_a_program: "subprocess.Popen",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_is_no_clean_refusal_fails(fault: object, tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("something")
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        refused([], tmp_path, f"{__name__}:{fault.__name__}")


def test_a_clean_refusal_passes(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("something")
    assert refused(["x"], tmp_path, f"{__name__}:clean") == "midms: no"


def test_commands_of_ours(tmp_path: Path) -> None:
    assert "no.png" in refused(
        ["translate", "--condition", "no.png", "--exemplar", tmp_path / "no.png", "--out", "out.png"], tmp_path
    )
    assert "--pairs" in refused(["ablate", "--pairs", "none"], tmp_path)
    said = outcome(["list", "preset"], tmp_path)
    assert said.status == 0 and any("midm-faces" in line for line in said.out) and not said.err
