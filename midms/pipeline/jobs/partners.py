"""Which pictures of folders go together: those of one name, or else in the order of names."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from midms.images import PictureError
from midms.images.names import natural_key, picture_suffixes


def paired_by_name(condition: Path, exemplars: Sequence[Path]) -> list[tuple[str, Path, tuple[Path, ...], bool]]:
    """Name, condition and exemplars of each job, and whether their names are alike."""
    inputs = [condition, *exemplars]
    named = picture_files(next(path for path in inputs if path.is_dir()))
    columns = [_paired(named, picture_files(path)) if path.is_dir() else [path] * len(named) for path in inputs]
    folders = [column for path, column in zip(inputs, columns, strict=True) if path.is_dir()]
    return [
        (one.stem, first, tuple(others), len({_natural(column[i]) for column in folders}) == 1)
        for i, (one, first, *others) in enumerate(zip(named, *columns, strict=True))
    ]


def all_pictures(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Files, and the pictures of folders.

    Raises:
        PictureError: a folder has no pictures.
    """
    return tuple(itertools.chain.from_iterable(picture_files(path) if path.is_dir() else [path] for path in paths))


def conditions_of(conditions: Path | None) -> Callable[[Sequence[Path]], tuple[Path, ...]]:
    """From exemplars to their conditions: a file is that of all, in a folder it has the exemplar's name."""
    if conditions is None:
        return lambda exemplars: ()
    if not conditions.is_dir():
        return lambda exemplars: (conditions,) * len(exemplars)
    known = picture_files(conditions)

    def find(exemplars: Sequence[Path]) -> tuple[Path, ...]:
        found = tuple(path for path in _partners(exemplars, known) if path)
        if len(found) < len(exemplars):
            named = ", ".join(path.name for path in exemplars)
            raise PictureError(f"{conditions}: no condition of the exemplar {named}")
        return found

    return find


def _paired(ones: list[Path], others: list[Path]) -> list[Path]:
    """The other of each one: of the same name, or if there is no such pair at all, the next in order.

    Raises:
        PictureError: some have a partner, others have not.
    """
    partners = _partners(ones, others)
    if not any(partners) and len(ones) == len(others):
        return others
    alone = [one for one, partner in zip(ones, partners, strict=True) if partner is None]
    alone += [other for other in others if other not in partners]
    if alone:
        named = ", ".join(map(str, alone[:3])) + (f" and {len(alone) - 3} more" if len(alone) > 3 else "")
        raise PictureError(f"no partner of the same name for {named}")
    return [partner for partner in partners if partner]


def _partners(ones: Sequence[Path], others: Sequence[Path]) -> list[Path | None]:
    """The other of the same name of each, or None: as it is written, or else one whose name reads the same."""
    written = {_written(other): other for other in others}
    alike = {key: list(group) for key, group in itertools.groupby(sorted(others, key=_natural), _natural)}
    return [
        written.get(_written(one)) or (near[0] if len(near := alike.get(_natural(one), [])) == 1 else None)
        for one in ones
    ]


def _written(path: Path) -> str:
    """A file's name without suffix. Systems differ in whether an accent is part of its letter."""
    return unicodedata.normalize("NFC", path.stem)


def _natural(path: Path) -> tuple[str | int, ...]:
    """A file's name without suffix, as one reads it."""
    return natural_key(path.stem)


def picture_files(folder: Path) -> list[Path]:
    """Pictures of a folder in the order of names; where it has none, its keypoint files.

    Links that lead nowhere, and pipes, are among them: reading says what is wrong, where leaving out would say nothing.
    """
    files = [path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir()]
    pictures = [path for path in files if path.suffix.lower() in picture_suffixes()]
    found = pictures or [path for path in files if path.suffix.lower() == ".json"]
    if not found:
        raise PictureError(f"{folder}: no pictures in this folder")
    names: dict[str, Path] = {}
    for path in sorted(found):
        if (other := names.setdefault(_written(path), path)) != path:
            raise PictureError(f"{path}: there is also {other.name}, and their results would be called alike")
    return sorted(found, key=lambda path: (_natural(path), path.name))
