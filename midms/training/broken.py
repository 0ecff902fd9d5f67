"""What cannot be read of a data set in training: named, counted, and too much of it an error."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from accelerate.utils import gather_object

from midms.core.errors import printable
from midms.data.errors import DatasetError

_SHOWN = 5
"""Of those that cannot be read, how many are named when there are too many."""


@dataclass
class Broken:
    """What a stage could not read; more than a share of the data set is an error.

    Attributes:
        most: how many may be so.
        found: what was said of each.
        shared: how many of these all processes know of.
        noted: what a note was printed of, by this stage or one before.
    """

    most: int
    found: dict[str, None] = field(default_factory=dict)
    shared: int = 0
    noted: set[str] = field(default_factory=set)

    def add(self, messages: Iterable[str]) -> None:
        """Count what is broken, with a note of what is new.

        Raises:
            DatasetError: too much is; what is new is then not counted, since a file may be mended before the next run.
        """
        for message in self._add(messages):
            if message not in self.noted:
                print(printable(f"midms: note: left out: {message}"), file=sys.stderr, flush=True)
                self.noted.add(message)

    def share(self) -> None:
        """Count what other processes found too; all must call this at once.

        Raises:
            DatasetError: all together, too much is broken.
        """
        self._add(itertools.chain.from_iterable(gather_object([[*self.found]])))
        self.shared = len(self.found)

    def _add(self, messages: Iterable[str]) -> list[str]:
        every = self.found | dict.fromkeys(messages)
        new = [*every][len(self.found) :]
        if new and len(every) > self.most:
            rest = f"; and {len(every) - _SHOWN:,} more" if len(every) > _SHOWN else ""
            raise DatasetError(
                f"{len(every):,} pairs or files cannot be read, --max-broken allows {self.most:,}:"
                f" {'; '.join([*every][:_SHOWN])}{rest}"
            )
        self.found.update(dict.fromkeys(new))
        return new
