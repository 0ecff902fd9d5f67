"""Which files an evaluation compares: results with the rows of a table, or with real pictures of the same names."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from midms.core.errors import MidmsError
from midms.core.schema import BRIEF
from midms.data.pair_lists import COLUMNS, table_rows
from midms.images.headers import format_of
from midms.images.names import natural_key, pictures_below
from midms.registry import unknown

FIELDS = {
    "target": "answer",
    "condition": "condition",
    "exemplar": "exemplar",
    "labels": "labels",
    "exemplar_labels": "exemplar_labels",
    "flow": "flow",
    "flow_back": "flow_back",
    "exact_flow": "exact_flow",
    "keypoints": "keypoints",
}
"""Column of a table of pairs to what it is of a `Compared`."""
_KEYS = ("key", "condition", "target")
"""Columns that name a result, the first that there is."""
_FEW = 3
"""Files that a line names before it counts the rest."""


class EvaluationError(MidmsError, ValueError):
    """An evaluation that cannot be made so; the message says why."""


@dataclass(frozen=True)
class Entry:
    """One result and what it is compared with.

    Attributes:
        key: its name, and its file's without suffix.
        files: by what they are of a `Compared`.
    """

    key: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Plan:
    """What an evaluation reads.

    Attributes:
        entries: in the order of their keys.
        real: real pictures, by a name each, in the order of names.
        failures: what is missing or given twice, a line each; the rest can be done.
    """

    entries: tuple[Entry, ...]
    real: Mapping[str, Path]
    failures: tuple[str, ...] = ()

    @property
    def known(self) -> frozenset[str]:
        """What metrics can be given: of some entries at least."""
        kinds = {name for entry in self.entries for name in entry.files}
        return frozenset(kinds | ({"real"} if self.real else set()) | ({"extent"} if "keypoints" in kinds else set()))

    def formats(self) -> dict[str, Counter[str]]:
        """How many results and real pictures are of which format, those that are none left out."""
        results = [entry.files["result"] for entry in self.entries if "result" in entry.files]
        return {
            name: Counter(kind for kind in map(format_of, paths) if kind)
            for name, paths in (("results", results), ("real", self.real.values()))
        }


@dataclass
class _Pictures:
    """Pictures of a folder by their paths without suffix; of two that are called alike, the first."""

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            what = "is no folder" if self.folder.exists() else "no such folder"
            raise EvaluationError(f"{self.folder}: {what}, expected a folder of pictures")
        for name in pictures_below(self.folder):
            key = str(PurePosixPath(name).with_suffix(""))
            if self.files.setdefault(key, self.folder / name) != self.folder / name:
                self.twice.append(name)
        if not self.files:
            raise EvaluationError(f"{self.folder}: no pictures in this folder")

    def failures(self) -> list[str]:
        """What is called as another is."""
        return [f"{self.folder}: left out, called as another but for the suffix: {named(self.twice)}"] * bool(
            self.twice
        )


def plan_evaluation(results: Path, against: Path | None, pairs: Path | None) -> Plan:
    """Find the files.

    Args:
        results: folder.
        against: folder of real pictures; by default the targets of the table.
        pairs: table.

    Raises:
        EvaluationError: there is nothing to compare, or the table has no such columns.
        DatasetError: the table cannot be read.
    """
    made = _Pictures(results)
    failures = made.failures()
    real: dict[str, Path] = {}
    if against is not None:
        shown = _Pictures(against)
        real, failures = shown.files, failures + shown.failures()
    if pairs is None:
        shared = made.files.keys() & real.keys()
        if shared and (alone := made.files.keys() - shared):
            failures.append(f"{against}: has no answer of {len(alone)} of {len(made.files)} results: {named(alone)}")
        entries = [
            Entry(key, {"result": path} | ({"answer": real[key]} if key in shared else {}))
            for key, path in made.files.items()
        ]
    else:
        entries, wrong = _rows(pairs, made)
        failures += wrong
        if against is None:
            first = {entry.files["answer"]: entry.key for entry in reversed(entries) if "answer" in entry.files}
            real = {key: path for path, key in reversed(first.items())}
    if not entries:
        raise EvaluationError(f"{pairs}: no row can be evaluated; {'; '.join(failures)}")
    others = _others(sorted(entries, key=lambda entry: (natural_key(entry.key), entry.key)))
    return Plan(tuple(others), real, tuple(failures))


def _rows(table: Path, made: _Pictures) -> tuple[list[Entry], list[str]]:
    """The rows of a table whose files are there, and what is wrong with the others."""
    rows = [*table_rows(table)]
    header = {name for row in rows for name in row if name}
    if not rows:
        raise EvaluationError(f"{table}: no pairs in this table")
    if strange := sorted(header - {*COLUMNS}):
        raise EvaluationError(f"{table}: {unknown('column', strange[0], [*dict.fromkeys([*_KEYS, *FIELDS])])}")
    naming = next((name for name in _KEYS if name in header), None)
    if naming is None:
        raise EvaluationError(
            f"{table}: has the columns {', '.join(sorted(header))}, expected one of {', '.join(_KEYS)}"
        )
    entries, lost, failures = dict[str, Entry](), dict[str, list[str]](), list[str]()
    for number, cells in enumerate(rows, 1):
        row = _texts(cells, f"{table}, row {number}", failures)
        name = row.get(naming, "")
        key = name if naming == "key" else PurePosixPath(name).stem
        if not key:
            failures.append(f"{table}, row {number}: has no {naming}")
        elif key in entries or key in lost.get("result", ()):
            failures.append(f"{table}, row {number}: the key {key} again, of which the first row is taken")
        else:
            files = {FIELDS[column]: table.parent / row[column] for column in FIELDS if column in row}
            if key in made.files:
                files["result"] = made.files[key]
            for kind in ("result", *(kind for kind, path in files.items() if not path.exists())):
                if kind not in files or not files[kind].exists():
                    lost.setdefault(kind, []).append(key)
            entries[key] = Entry(key, {kind: path for kind, path in files.items() if path.exists()})
    failures += [f"{table}: no {kind} of {len(keys)} of {len(rows)} rows: {named(keys)}" for kind, keys in lost.items()]
    return [entry for entry in entries.values() if entry.files], failures


def _texts(cells: Mapping[str, Any], where: str, failures: list[str]) -> dict[str, str]:
    """Cells of columns that are read; of what is no text a line is among the failures."""
    found = {}
    if "" in cells:
        failures.append(f"{where}: has {BRIEF.repr(cells[''][0])} in no column that has a name")
    for column in dict.fromkeys([*_KEYS, *FIELDS]):
        value = cells.get(column)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(value, str) and value:
            found[column] = value
        elif value not in (None, "", []):
            failures.append(f"{where}: {column}: expected a text, got {BRIEF.repr(value)}")
    return found


def _others(entries: Sequence[Entry]) -> list[Entry]:
    """Each with the next result of the same condition, the last with the first, where it has several."""
    groups: dict[Path, list[Entry]] = {}
    for entry in entries:
        if {"result", "condition"} <= entry.files.keys():
            groups.setdefault(entry.files["condition"], []).append(entry)
    following = {
        one.key: after.files["result"]
        for group in groups.values()
        if len(group) > 1
        for one, after in itertools.pairwise([*group, group[0]])
    }
    return [
        Entry(entry.key, {**entry.files, "other": following[entry.key]}) if entry.key in following else entry
        for entry in entries
    ]


def named(names: Iterable[str]) -> str:
    """The first of some names, and how many more there are."""
    few = sorted(names, key=natural_key)
    return ", ".join(few[:_FEW]) + (f" and {len(few) - _FEW:,} more" if len(few) > _FEW else "")
