"""A file to which runs are added, one line of JSON each, so that none is lost or done twice whenever it is cut off."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from midms.core.errors import MidmsError
from midms.core.files import held, read_regular
from midms.core.line_files import append_line, cut_line
from midms.core.schema import Schema, checked, parse_json

LEDGER_BYTES = 2**25
"""Bytes of the largest ledger that is read."""
MANY = 2**17
"""Lists and mappings in the largest ledger that is read; a run has nine."""
BEGINS = b'{"id": "'
"""How a line begins."""
ALWAYS, COST = ("PSNR", "SSIM", "first PSNR"), ("ms a pair", "peak MB")
"""Figures that every pair has, and what a run costs."""
SOMETIMES = ("PCK@0.05", "EPE px", "AUROC")
"""Figures that need a known flow, and are missing without; where no cell is in both pictures they are NaN."""
_MOST = 1e9
"""How far a figure may be from zero."""


class LedgerError(MidmsError, RuntimeError):
    """A ledger that cannot be used; the message says why."""


class _Line(Schema):
    """The record of a run, as far as it is read again: it has figures, or was refused, or failed."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=True)
    id: str
    run: dict[str, str]
    figures: dict[str, float] = Field(default_factory=dict)
    each: dict[str, list[float]] = Field(default_factory=dict)
    refused: str = ""
    error: str = ""
    notes: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _outcome(self) -> _Line:
        if len(self.model_fields_set & {"figures", "refused", "error"}) != 1:
            raise ValueError("expected figures, or why it was refused, or its error")
        found = {name: self.figures.get(name) for name in (*ALWAYS, *COST, *SOMETIMES)}
        known = {name for name, value in found.items() if value is not None and abs(value) <= _MOST}
        known |= {name for name in SOMETIMES if isinstance(value := found[name], float) and math.isnan(value)}
        known |= {*SOMETIMES} if not self.figures.keys() & {*SOMETIMES} else set()
        if "figures" in self.model_fields_set and (wrong := found.keys() - known):
            shown = ", ".join(f"{name} {found[name]}" for name in sorted(wrong))
            raise ValueError(f"figures: expected numbers within {_MOST:,.0f}, got {shown}")
        return self


class Ledger:
    """The lines of a file.

    A line is written by one call and forced to disk before the next run starts. What a killed process left of a line is
    cut off.

    Args:
        path: of the file; its folder is made if need be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """The whole lines.

        Raises:
            LedgerError: it is no regular file or has too much in it, a line is not the record of a run, or what follows
                the last is not the beginning of one.
        """
        text, lines = self._text(), []
        for number, line in enumerate(io.BytesIO(text), 1):
            where = f"{self.path}: line {number} is damaged; remove it to have the run done again"
            if not line.endswith(b"\n"):
                if not BEGINS.startswith(line[: len(BEGINS)]):
                    raise LedgerError(where)
                break
            try:
                content = parse_json(line)
            except (ValueError, RecursionError) as error:
                raise LedgerError(f"{where} ({error})") from None
            checked(_Line, content, where, LedgerError)
            lines.append(content)
        return lines

    def _text(self) -> bytes:
        try:
            text = read_regular(self.path, LEDGER_BYTES)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be read ({error.strerror or error})") from None
        if (count := text.count(b"[") + text.count(b"{")) > MANY:
            raise LedgerError(f"{self.path}: has {count:,} lists and mappings, expected at most {MANY:,}")
        return text

    @contextlib.contextmanager
    def held(self) -> Iterator[list[dict[str, Any]]]:
        """Nobody else adds to it meanwhile.

        Yields:
            The lines that are there; what a killed process left of one is cut off.

        Raises:
            HeldError: somebody adds to it; the message says who.
            LedgerError: see `read`.
        """
        with held(self.path.parent):
            lines = self.read()
            if self.path.exists():
                cut_line(self.path)
            yield lines

    def add(self, record: Mapping[str, Any]) -> None:
        """One more line, on disk when this returns; what cannot be written whole is not there.

        Raises:
            LedgerError: the disk refuses.
        """
        try:
            append_line(self.path, json.dumps(record).encode())
        except OSError as error:
            raise LedgerError(f"{self.path}: a run cannot be added ({error.strerror or error})") from None
