"""What the weights of a composition know, and what to say where a picture lies outside of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """What weights were trained on; the default knows nothing and never objects.

    Attributes:
        trained_on: the pictures, in plain words.
        size: pixels of their shorter side.
        square: whether all of them were square.
    """

    trained_on: str = ""
    size: int | None = None
    square: bool = False
