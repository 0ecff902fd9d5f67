"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it becomes `path` at the end, or disappears if there was an error.

    Args:
        path: what is to be written; what it held before stays until the end. Of a link, what it leads to is written,
            and the link stays.

    Yields:
        The name to write to, with the same suffix.

    Raises:
        OSError: it cannot be written, or is a link that leads round to itself.
    """
    target = followed(path)
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{path.suffix}")
    try:
        part.touch()
        usual = part.stat().st_mode  # safetensors writes files that nobody else may read
        yield part
        part.chmod(usual)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def followed(path: Path) -> Path:
    """The path, or where it leads if it is a link; nothing need be there.

    Raises:
        OSError: links lead round to themselves.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_symlink():
        raise OSError(errno.ELOOP, "a link that leads round to itself", str(path))
    return target
