"""A file to which runs are added, one line of JSON each, so that none is lost or done twice whenever it is cut off."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from midms.core.errors import MidmsError
from midms.core.files import held, read_regular
from midms.core.schema import Schema, checked

LARGEST = 2**28
"""Bytes of the largest ledger that is read."""


class LedgerError(MidmsError, RuntimeError):
    """A ledger that cannot be used; the message says why."""


class Line(Schema):
    """The record of a run, as far as it is read again."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=True)
    id: str
    run: dict[str, str]
    figures: dict[str, float] = Field(default_factory=dict)
    each: dict[str, list[float]] = Field(default_factory=dict)
    refused: str = ""
    error: str = ""
    notes: list[str] = Field(default_factory=list)


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
            LedgerError: a line is not JSON, or not the record of a run.
        """
        text, lines = self._text(), []
        for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), 1):
            where = f"{self.path}: line {number} is damaged; remove it to have the run done again"
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                raise LedgerError(where) from None
            checked(Line, content, where, LedgerError)
            lines.append(content)
        return lines

    def _text(self) -> bytes:
        """What is in it.

        Raises:
            LedgerError: it is no regular file, or too large.
        """
        try:
            return read_regular(self.path, LARGEST) if self.path.exists() else b""
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be read ({error.strerror or error})") from None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else adds to it meanwhile.

        Raises:
            HeldError: somebody does; the message says who.
        """
        with held(self.path.parent):
            text = self._text()
            if self.path.exists():
                os.truncate(self.path, text.rfind(b"\n") + 1)
            yield

    def add(self, record: Mapping[str, Any]) -> None:
        """One more line, on disk when this returns; what cannot be written whole is not there.

        Raises:
            LedgerError: the disk refuses.
        """
        line, descriptor = (
            json.dumps(record).encode() + b"\n",
            os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666),
        )
        before = os.fstat(descriptor).st_size
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except OSError as error:
            os.truncate(descriptor, before)
            raise LedgerError(f"{self.path}: a run cannot be added ({error.strerror or error})") from None
        finally:
            os.close(descriptor)
