"""What the weights of a composition know, and what to say where a picture lies outside of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

TELLING = ("condition", "features", "matcher", "confidence", "autoencoder")
"""Slots whose parts decide how far the first match is trusted."""


@dataclass(frozen=True)
class Domain:
    """What weights were trained on; the default knows nothing and never objects.

    Attributes:
        trained_on: the pictures, in plain words.
        size: pixels of their shorter side.
        square: whether all of them were square.
        least_confidence: in the middle of the first match, from which a pair is taken to be like them.

    Raises:
        ValueError: a field is not as it should be; all that are not are listed.
    """

    trained_on: str = ""
    size: int | None = None
    square: bool = False
    least_confidence: float | None = None

    def __post_init__(self) -> None:
        wrong = []
        if not (isinstance(self.trained_on, str) and self.trained_on.isprintable()):
            wrong.append(f"trained_on must be a line of text, got {self.trained_on!r}")
        if self.size is not None and not (type(self.size) is int and self.size > 0):
            wrong.append(f"size must be a whole number from 1 on, or None, got {self.size!r}")
        if type(self.square) is not bool:
            wrong.append(f"square must be True or False, got {self.square!r}")
        if self.least_confidence is not None and not (
            type(self.least_confidence) is float and 0 <= self.least_confidence <= 1
        ):
            wrong.append(f"least_confidence must be a number between 0 and 1, or None, got {self.least_confidence!r}")
        if wrong:
            raise ValueError("; ".join(wrong))

    def unmeasured(self) -> Domain:
        """The same, without what holds for the parts alone with which it was measured."""
        return dataclasses.replace(self, least_confidence=None)

    def warnings(self, size: int, confidence: float | None) -> tuple[str, ...]:
        """What a person should know of a translation, a line each.

        Args:
            size: pixels of the shorter side of the canvas on which it was made.
            confidence: in the middle of its first match, where that is known.
        """
        if self.size not in (None, size):
            return (
                f"size {size}: the weights were trained at {self.size} pixels, and the further from that the worse the"
                f" result; size {self.size} suits them",
            )
        if self.least_confidence is None or confidence is None or confidence >= self.least_confidence:
            return ()
        return (
            f"the result is probably worthless: the drawing or the picture is unlike what the weights were trained on,"
            f" {self.trained_on} (confidence {confidence:.2f}, usually at least {self.least_confidence:.2f})",
        )
