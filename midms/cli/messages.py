"""What commands print. Nothing in it is obeyed by a terminal, whatever files are called."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from midms.core.errors import printable

USER_ERROR = 2
"""Exit status when the user can do something about it."""


def say(*lines: str) -> None:
    """Lines on stdout."""
    for line in lines:
        print(printable(line), flush=True)


def complain(message: str, status: int = USER_ERROR) -> int:
    """One line on stderr; returns the status."""
    print(_line(message), file=sys.stderr)
    return status


def _line(message: str) -> str:
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    return printable("midms: " + "; ".join(line for line in lines if line).replace(":;", ":"))


def show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Show a warning as a line of ours, in the place of `warnings.showwarning`."""
    if category is UserWarning:
        complain(f"note: {message}")
    else:
        print(warnings.formatwarning(message, category, *where[:2]), end="", file=sys.stderr)


class _Notes(logging.Formatter):
    """What is logged, as notes of ours."""

    def format(self, record: logging.LogRecord) -> str:
        return _line(f"note: {record.getMessage()}")


@contextmanager
def logged_notes() -> Iterator[None]:
    """Until the block is left, what parts of ours log is shown as notes."""
    log, handler = logging.getLogger("midms"), logging.StreamHandler()
    handler.setFormatter(_Notes())
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
