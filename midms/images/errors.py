"""Errors of pictures: one line, which names the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from midms.core.errors import MidmsError

_SMALLEST = 8
"""Fewest pixels a side."""
_LONGEST = 4
"""Greatest ratio of the longer to the shorter side."""


class PictureError(MidmsError, ValueError):
    """A picture cannot be read, made or written; the message is one line that names it and says why."""


@contextmanager
def name_in_errors(name: str, doubts: Sequence[str] = ()) -> Iterator[None]:
    """Whatever is wrong with a picture is said with its name.

    Args:
        name: of the picture.
        doubts: what may be the reason, a line each.

    Raises:
        PictureError: instead of any ValueError.
    """
    try:
        yield
    except PictureError:
        raise
    except ValueError as error:
        raise PictureError("; ".join([f"{name}: {error}", *doubts])) from None


def one_line(error: BaseException) -> str:
    """What an error says, or else its kind, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def check_shape(height: int, width: int, name: str) -> None:
    """Refuse what is too small or too narrow to be matched.

    Raises:
        PictureError: a side is below `_SMALLEST`, or one side is more than `_LONGEST` times the other.
    """
    if min(height, width) < _SMALLEST:
        raise PictureError(f"{name}: is {width} x {height} pixels, expected at least {_SMALLEST} x {_SMALLEST}")
    if max(height, width) > _LONGEST * min(height, width):
        raise PictureError(
            f"{name}: is {width} x {height} pixels, expected the longer side at most {_LONGEST} times the shorter"
        )
