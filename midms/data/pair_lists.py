"""Lists of pairs: which pictures are exemplars of which, most alike first."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from midms.core.files import check_regular, read_regular
from midms.core.schema import BRIEF, parse_json
from midms.data.errors import DatasetError
from midms.data.pictures import Exemplars
from midms.images import one_line

COLUMNS = (
    *("key", "condition", "exemplar", "exemplar_condition", "target", "labels", "exemplar_labels"),
    *("flow", "flow_back", "exact_flow", "keypoints", "similarity"),
)
"""Of tables of pairs that commands read or write."""
_LIST = 2**30
"""Bytes of the largest list that is read."""
_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls the numbers of rows in Parquet."""
_FEW = 3
"""Files that an error names before it counts the rest."""


def read_lines(path: Path) -> list[str]:
    """Lines of a text file that are not blank, without spaces at their ends.

    Raises:
        DatasetError: it cannot be read.
    """
    return [stripped for line in _text(path).splitlines() if (stripped := line.strip())]


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table, what is no text or empty left out; see `table_rows`.

    Raises:
        DatasetError: it cannot be read; the message says in which line.
    """
    rows = table_rows(path)
    return [{key: value for key, value in row.items() if key and isinstance(value, str) and value} for row in rows]


def table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a table, CSV with a line of names, JSON lines or Parquet, by its suffix.

    Args:
        path: of the table.

    Yields:
        Values of a row by column, as they are written; of JSON and Parquet lists too, and whole numbers, such as
        keys may be, as text. Cells of CSV that are in no column with a name are a list called "".

    Raises:
        DatasetError: it cannot be read; the message says in which line.
    """
    kinds = {".jsonl": _json_rows, ".json": _json_rows, ".parquet": _parquet_rows}
    for row in kinds.get(path.suffix.lower(), _csv_rows)(path):
        yield {key: str(value) if type(value) is int else value for key, value in row.items()}


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    text = _text(path)
    names = text.lstrip().partition("\n")[0]
    comma = next((other for other in ";\t" if other in names and "," not in names), ",")  # as spreadsheets write it
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=comma, skipinitialspace=True, strict=True)
        table = (cells for cells in lines if cells)
        columns = next(table, [])
        if twice := [column for column in columns if column and columns.count(column) > 1]:
            raise DatasetError(f"{path}: has the column {twice[0]} twice")
        for cells in table:
            placed = [*itertools.zip_longest(columns, cells)]
            nameless = [cell for column, cell in placed if cell and not column]
            yield {column: cell for column, cell in placed if column} | ({"": nameless} if nameless else {})
    except csv.Error as error:
        raise DatasetError(f"{path}: cannot be read as CSV ({error})") from None


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_text(path).split("\n"), 1):  # JSON's texts may hold what else ends lines
        try:
            row = parse_json(line.strip() or "{}")
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path}, line {number}: cannot be read as JSON ({error})") from None
        if not isinstance(row, dict):
            raise DatasetError(f"{path}, line {number}: expected values by name, got {BRIEF.repr(row)}")
        if row:
            yield row


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DatasetError(f"{path}: needs pyarrow to be read, pip install 'midms[parquet]'") from None
    try:
        check_regular(path, _LIST)
        file = ParquetFile(path)
        columns = [name for name in file.schema_arrow.names if not _INDEX.fullmatch(name)]
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or one_line(error)})") from None
    except ValueError as error:
        raise DatasetError(f"{path}: cannot be read as Parquet ({one_line(error)})") from None


def _text(path: Path) -> str:
    try:
        return read_regular(path, _LIST).decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError:
        raise DatasetError(f"{path}: cannot be read as UTF-8") from None


def read_pair_list(path: Path, root: Path, is_there: Callable[[str], bool]) -> dict[str, list[str]]:
    """From each target to its exemplars, most alike first, as paths with "/".

    Args:
        path: a table with the columns target and exemplar and a row a pair, whose paths are relative to its folder, as
            `midms pairs` writes it; or lines of names that commas divide, the target's first, relative to root, as
            CoCosNet has them.
        root: the folder of pictures, to which the result is relative.
        is_there: whether a path of the result is a picture's.

    Raises:
        DatasetError: it cannot be read, has no pairs, or names pictures that are not there; says how they are written.
    """
    pairs: dict[str, list[str]] = {}
    written: dict[str, str] = {}
    for names, found in _listed(path, root):
        written.update(zip(found, names, strict=True))
        pairs.setdefault(found[0], []).extend(found[1:])
    if not any(pairs.values()):
        raise DatasetError(f"{path}: has no pairs")
    refuse_absent(sorted(name for found, name in written.items() if not is_there(found)), path)
    return pairs


def _listed(path: Path, root: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Of each row or line of a list the target and its exemplars: as they are written, and as paths from root."""
    if path.suffix.lower() not in (".csv", ".jsonl"):
        for line in read_lines(path):
            names = [name.strip() for name in line.split(",")]
            yield names, [name.replace("\\", "/") for name in names]
        return
    relative = _Relative(path.parent, root)
    for number, row in enumerate(read_rows(path), 1):
        if not {"target", "exemplar"} <= row.keys():
            raise DatasetError(f"{path}, row {number}: expected a target and an exemplar, got {', '.join(row)}")
        names = [row["target"], row["exemplar"]]
        yield names, [*map(relative, names)]


class _Relative:
    """From paths that are absolute or relative to a folder to paths from another, with "/", through links too.

    Args:
        base: the first folder.
        root: the second.
    """

    def __init__(self, base: Path, root: Path) -> None:
        self.base, self.start = os.path.abspath(base), os.path.join(os.path.abspath(root), "")
        self.real = functools.cache(os.path.realpath)

    def __call__(self, name: str) -> str:
        """A path."""
        place = os.path.join(self.base, name)
        written = os.path.normpath(place)
        inside = written.removeprefix(self.start)  # `relpath` takes ten times as long
        if inside == written:
            folder, file = os.path.split(place)
            found = os.path.join(self.real(folder), file)
            inside = found.removeprefix(os.path.join(self.real(self.start), ""))
            inside = os.path.relpath(written, self.start) if inside == found else inside
        return inside.replace(os.sep, "/")


def numbered(
    pairs: Mapping[str, Sequence[str]], targets: Sequence[str], numbers: Mapping[str, int], path: Path
) -> Exemplars:
    """The exemplars of targets: the first of its list is the easy one, the last the hard one.

    A target that the list does not have is its own exemplar.

    Args:
        pairs: from targets to exemplars, as names.
        targets: names of the targets.
        numbers: from names to numbers of all pictures.
        path: of the list, for errors.

    Raises:
        DatasetError: no target is in the list.
    """
    if not any(target in pairs for target in targets):
        raise DatasetError(f"{path}: has none of {len(targets)} pictures, such as {targets[0]}, as a target")
    own = np.array([numbers[target] for target in targets])
    found = [[numbers[name] for name in pairs.get(target, ())] or [numbers[target]] for target in targets]
    return Exemplars(np.array([one[0] for one in found]), np.array([one[-1] for one in found]), own)


def refuse_absent(absent: Sequence[str], path: Path) -> None:
    """Say which files a list names that are not there.

    Raises:
        DatasetError: there are any.
    """
    if absent:
        more = f" and {len(absent) - _FEW:,} more" if len(absent) > _FEW else ""
        raise DatasetError(f"{path}: names files that are not there: {', '.join(absent[:_FEW])}{more}")
