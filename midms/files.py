"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it becomes `path` at the end, or disappears if there was an error.

    Args:
        path: what is to be written; what it held before stays until the end.

    Yields:
        The name to write to, with the same suffix.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        part.touch()
        usual = part.stat().st_mode  # safetensors writes files that nobody else may read
        yield part
        part.chmod(usual)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
