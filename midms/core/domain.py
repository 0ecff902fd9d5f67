"""What the weights of a composition know, and what to say where a picture lies outside of it."""

from __future__ import annotations

import dataclasses
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

from midms.core.limits import LARGEST

TELLING = ("condition", "features", "autoencoder")
"""Slots whose parts decide what features a picture has, by which it is judged."""
LETTERS = 1000
"""Of what weights were trained on, at most: it is printed in a line."""


@dataclass(frozen=True)
class Domain:
    """What weights were trained on; the default knows nothing and never objects.

    Attributes:
        trained_on: the pictures, in plain words.
        size: pixels of their shorter side.
        square: whether all of them were square.
        usual: folder of the shipped weights with which their appearance was measured, see
            `midms.pipeline.out_of_domain`.

    Raises:
        ValueError: a field is not as it should be; all that are not are listed.
    """

    trained_on: str = ""
    size: int | None = None
    square: bool = False
    usual: str = ""

    def __post_init__(self) -> None:
        wrong = []
        if not (isinstance(self.trained_on, str) and self.trained_on.isprintable() and len(self.trained_on) <= LETTERS):
            wrong.append(f"trained_on must be a line of up to {LETTERS:,} letters, got {reprlib.repr(self.trained_on)}")
        if self.size is not None and not (type(self.size) is int and 1 <= self.size <= LARGEST):
            wrong.append(f"size must be a whole number from 1 to {LARGEST}, or None, got {reprlib.repr(self.size)}")
        if type(self.square) is not bool:
            wrong.append(f"square must be True or False, got {self.square!r}")
        if not (isinstance(self.usual, str) and re.fullmatch(r"[a-z0-9-]*", self.usual)):
            wrong.append(f"usual must be the name of a folder of shipped weights, got {self.usual!r}")
        if wrong:
            raise ValueError("; ".join(wrong))

    def unmeasured(self) -> Domain:
        """The same, without what holds for the parts alone with which it was measured."""
        return dataclasses.replace(self, usual="")

    def warnings(self, size: int, unusual: Sequence[str]) -> tuple[str, ...]:
        """What a person should know of a translation, a line each.

        Args:
            size: pixels of the shorter side of the canvas on which it was made.
            unusual: what was handed in that is unlike what the weights were trained on, such as "the drawing".
        """
        if self.size not in (None, size):
            return (
                f"size {size}: the weights were trained at {self.size} pixels, and the further from that the worse the"
                f" result; size {self.size} suits them",
            )
        if not unusual:
            return ()
        what = f"{' and '.join(unusual)} {'is' if len(unusual) == 1 else 'are'}"
        return (f"{what} unlike what the weights were trained on, {self.trained_on}: the result may be worthless",)
