"""A file to which runs are added, one line of JSON each, so that none is lost or done twice whenever it is cut off."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from midms.mistakes import Mistake


class LedgerError(Mistake, RuntimeError):
    """A ledger that cannot be used; the message says why."""


class Ledger:
    """The lines of a file.

    A line is written by one call and forced to disk before the next run starts. What a killed process left of a line is
    cut off.

    Args:
        path: of the file; its folder is made if need be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> list[dict[str, Any]]:
        """The whole lines.

        Raises:
            LedgerError: a line is not JSON.
        """
        text = self.path.read_bytes() if self.path.exists() else b""
        lines = []
        for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), 1):
            try:
                lines.append(json.loads(line))
            except ValueError:
                raise LedgerError(
                    f"{self.path}: line {number} is damaged; remove it to have the run done again"
                ) from None
        return lines

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else adds to it meanwhile.

        Raises:
            LedgerError: somebody does.
        """
        with self.path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LedgerError(f"{self.path}: another process is adding to it") from None
            text = self.path.read_bytes()
            os.truncate(self.path, text.rfind(b"\n") + 1)
            yield

    def add(self, record: Mapping[str, Any]) -> None:
        """One more line, on disk when this returns."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, json.dumps(record).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
