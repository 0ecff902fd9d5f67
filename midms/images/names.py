"""Names of picture files: which are pictures, and in which order people read them."""

from __future__ import annotations

import os
import re
import unicodedata
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import Image


@cache
def picture_suffixes() -> frozenset[str]:
    """Suffixes of files that are pictures, such as ".png"."""
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def natural_key(name: str) -> tuple[str | int, ...]:
    """Sorts names as one reads them: numbers are numbers (frame2 comes before frame10), capitals are no difference.

    Systems differ in whether an accent is part of its letter; here it is.
    """
    pieces = re.split(r"(\d+)", unicodedata.normalize("NFC", name).casefold())
    return tuple(int(piece) if i % 2 else piece for i, piece in enumerate(pieces))


def pictures_below(folder: Path) -> list[str]:
    """Pictures of a folder and of those in it, as paths from it with "/", in the order of names.

    What is hidden is left out, and links to folders are not followed.
    """
    found: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        place = Path(parent).relative_to(folder).as_posix()
        near = [name for name in files if not name.startswith(".") and _suffix(name) in picture_suffixes()]
        found += near if place == "." else [f"{place}/{name}" for name in near]
    return sorted(found, key=lambda name: (natural_key(name), name))


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
