"""Pairs to be translated: rows of a table, or samples in tar files; what cannot be used is named, the rest is read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from midms.core.schema import BRIEF
from midms.data.errors import DatasetError
from midms.data.pair_lists import COLUMNS, table_rows
from midms.data.webdataset import PARTS, PassedOver, name_of, sample_files, shards
from midms.registry import unknown

_TABLES = (".csv", ".jsonl", ".json", ".parquet")
_NEEDED = ("condition", "exemplar")
_OURS = ("key", *_NEEDED, "exemplar_condition")
_UNNAMABLE = re.compile(r"[\0\ud800-\udfff]")
"""What no file's name has: the end of a text in C, and halves of letters."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EXEMPLARS = 100
"""Most exemplars of a pair."""


class PairRow(NamedTuple):
    """A pair to be translated.

    Attributes:
        key: its name, and its result's file without suffix, in folders where it has "/".
        condition: place of the drawing, label map or keypoints: a path, or what `member_place` gives.
        exemplars: places of one or several.
        exemplar_conditions: places of theirs, or none.
    """

    key: str
    condition: str
    exemplars: tuple[str, ...]
    exemplar_conditions: tuple[str, ...]


class RowFailure(NamedTuple):
    """A row that cannot be used.

    Attributes:
        key: as far as it is known, else "".
        reason: a line, which says where it is.
    """

    key: str
    reason: str


@dataclass
class PairRows:
    """What was read.

    Attributes:
        root: folder that places are relative to.
        rows: that can be used, in their order.
        failures: the others.
    """

    root: Path
    rows: list[PairRow] = field(default_factory=list)
    failures: list[RowFailure] = field(default_factory=list)


def read_pair_rows(path: Path, chosen: Callable[[str], bool]) -> PairRows:
    """Read the pairs whose keys are chosen, and what is wrong with some of them.

    Args:
        path: a table, CSV, JSON lines or Parquet, paths relative to it, with the columns `condition` and `exemplar`,
            and maybe `exemplar_condition` and `key` (by default the condition's name without suffix); in JSON and
            Parquet `exemplar` and its conditions may be lists. Or tar files as `midms.data.webdataset` reads them.
        chosen: of a key, whether it is wanted; what has no key counts as "".

    Raises:
        DatasetError: the table cannot be read, lacks a column or has one that no command knows, or no tar file is
            there.
    """
    suffix = path.suffix.lower()
    if suffix not in (*_TABLES, ".tar") and not path.is_dir() and not set("{*?[") & set(str(path)):
        kinds = ", ".join(f"*{one}" for one in _TABLES)
        raise DatasetError(f"{path}: expected a table called {kinds}, or tar files called *.tar")
    found = PairRows(path.parent if suffix in _TABLES else Path())
    seen: set[str] = set()
    for row in _table(path) if suffix in _TABLES else _samples(path):
        if not chosen(row.key):
            continue
        if isinstance(row, PairRow) and row.key in seen:
            row = RowFailure(row.key, f"{path}: has the key {row.key} again, of which the first pair is taken")
        if isinstance(row, RowFailure):
            found.failures.append(row)
        else:
            seen.add(row.key)
            found.rows.append(row)
    return found


def _table(path: Path) -> Iterator[PairRow | RowFailure]:
    header: set[str] = set()
    number = 0
    for number, row in enumerate(table_rows(path), 1):
        header |= row.keys()
        where = f"{path}, row {number}"
        if (nameless := row.get("")) and isinstance(nameless, list):
            yield RowFailure("", f"{where}: has {BRIEF.repr(nameless[0])} in no column that has a name")
            continue
        if strange := sorted(row.keys() - {*COLUMNS}):
            raise DatasetError(f"{path}: {unknown('column', strange[0], COLUMNS)}")
        wrong = _wrong_value(row)
        yield RowFailure("", f"{where}: {wrong}") if wrong else _row(row, where)
    if not number:
        raise DatasetError(f"{path}: no pairs in this table")
    if not header.issuperset(_NEEDED):
        raise DatasetError(f"{path}: has the columns {', '.join(sorted(header))}, expected {' and '.join(_NEEDED)}")


def _row(row: dict[str, Any], where: str) -> PairRow | RowFailure:
    places = {name: _texts(row.get(name)) for name in _OURS}
    condition = places["condition"][:1]
    key = "".join(places["key"][:1]) or "".join(PurePosixPath(one).stem for one in condition)
    exemplars, given = places["exemplar"], places["exemplar_condition"]
    if lacks := [name for name in _NEEDED if not places[name]]:
        return RowFailure(key, f"{where}: has no {' and no '.join(lacks)}")
    if wrong := _unusable(key):
        return RowFailure("", f"{where}: the key {key!r} {wrong}")
    if len(exemplars) > _EXEMPLARS or len(places["condition"]) > 1:
        name = "exemplar" if len(exemplars) > _EXEMPLARS else "condition"
        return RowFailure(key, f"{where}: has {len(places[name])} of {name}, expected fewer")
    if given and len(given) != len(exemplars):
        return RowFailure(
            key, f"{where}: has {len(given)} of exemplar_condition, expected one for each of {len(exemplars)} exemplars"
        )
    return PairRow(key, condition[0], tuple(exemplars), tuple(given))


def _texts(value: str | list[str] | None) -> list[str]:
    """The texts of a cell, which is one, or a list of them."""
    return value if isinstance(value, list) else [value] if value else []


def _wrong_value(row: dict[str, Any]) -> str:
    """What is wrong with a cell of ours, or nothing; nothing of one is left out."""
    for name in _OURS:
        value = "" if row.get(name) is None else row[name]
        listed = isinstance(value, list) and name != "key"
        if not (all(one and _is_text(one) for one in value) if listed else _is_text(value)):
            return f"{name}: expected {'a text' if name == 'key' else 'paths'}, got {BRIEF.repr(value)}"
    return ""


def _is_text(value: object) -> bool:
    """Whether it is a text that can name a file."""
    return isinstance(value, str) and not _UNNAMABLE.search(value)


def _unusable(key: str) -> str:
    """Why a key cannot be a file's name, or nothing."""
    if not _is_text(key):
        return "is no text in UTF-8"
    if _CONTROL.search(key):
        return "has control characters"
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or os.path.isabs(key):
        return "would name a file outside of the results"
    return "is longer than names of files are" if max(len(part.encode()) for part in parts) > 200 else ""


def _samples(path: Path) -> Iterator[PairRow | RowFailure]:
    found, others = False, PassedOver()
    for shard in shards(path):
        samples: dict[str, list[str]] = {}
        twice: list[RowFailure] = []
        try:
            for key, part, place in sample_files(shard, others):
                sample = samples.setdefault(key, [""] * len(PARTS))
                if sample[part]:
                    which = PARTS[part] or "picture"
                    twice.append(RowFailure(key, f"{shard}: {name_of(place)} is another {which} of {key}, left out"))
                else:
                    sample[part] = place
        except DatasetError as error:
            found = True
            yield RowFailure("", str(error))
        yield from twice
        found = found or bool(samples)
        for key, (_, *places) in samples.items():
            row = dict(zip(PARTS[1:], places, strict=True)) | {"key": key}
            yield _row(row, f"{shard}: {key}")
    if not found:
        expected = "expected members such as 0001.condition.png and 0001.exemplar.jpg"
        raise DatasetError(f"{path}: no pairs in it, {expected}{others}")
    if others.dotted:
        yield RowFailure("", f"{path}: has more pairs{others}")
