"""Pairs that a table lists: a file of paths, or Hugging Face's folder of pictures with metadata."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.data.crops import Cropping
from midms.data.errors import DatasetError
from midms.data.files import Names, PictureFiles
from midms.data.folder import SELF_WARPED
from midms.data.pair_lists import read_rows, refuse_absent
from midms.data.pictures import Exemplars, PicturePairs
from midms.data.splits import check_split, in_split

PAIR_COLUMNS = ("target", "condition", "exemplar", "exemplar_condition")
"""Of a table of pairs; all but the first may be missing."""
_METADATA = ("metadata.jsonl", "metadata.csv")
SPLIT_FOLDERS = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "dev", "test")}
"""What a split's folder may be called."""


def pairs(
    path: str | os.PathLike[str],
    *,
    size: int,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    flip: bool = True,
) -> PicturePairs:
    """Pairs of a table of paths, a row each, in CSV or JSON lines; paths are relative to the table's folder.

    Columns: `target`, the picture to be made; `condition`, its drawing, label map or keypoints; `exemplar`;
    `exemplar_condition`. Where there is no drawing, maps are made of the picture; where conditions are label maps or
    keypoints, an exemplar without any has those of the row whose target it is. Without exemplars each target is its
    own, under a smooth warp whose flow is exact. One target of twenty is held out, by a hash of its path.

    To choose where drawings, exemplars or annotations lie beside the pictures.

    Args:
        path: the table.
        size: pixels of the pairs' sides.
        condition: makes the maps; must be given.
        split: "train" or "validation".
        flip: whether pictures are mirrored in half of all draws.

    Raises:
        DatasetError: the table cannot be read, names files that are not there, or lacks in some rows what others have.
    """
    table = Path(path)
    rows = read_rows(table)
    if not rows:
        raise DatasetError(f"{table}: no pairs in this table")
    columns = _columns(rows, table)
    chosen = np.flatnonzero(in_split(columns["target"], split, table))
    return _pairs(table, columns, chosen, condition, Cropping(size, flip=flip), "by a hash of their paths")


def imagefolder(
    path: str | os.PathLike[str],
    *,
    size: int,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    flip: bool = True,
) -> PicturePairs:
    """Hugging Face's folder of pictures, whose `metadata.jsonl` or `metadata.csv` has their paths as `file_name`.

    The other columns are those of `pairs`, and may end in `_file_name`. Folders `train` and `validation` (or test) with
    their own metadata are the splits; where there is one metadata file for all, one picture of twenty is held out.

    To choose for data sets from Hugging Face's hub.

    Args:
        path: the folder.
        size: pixels of the pairs' sides.
        condition: makes the maps; must be given.
        split: "train" or "validation".
        flip: whether pictures are mirrored in half of all draws.

    Raises:
        DatasetError: there is no metadata, or it cannot be used; see `pairs`.
    """
    check_split(split)
    root = Path(path)
    own = {name: _metadata(root / one for one in folders) for name, folders in SPLIT_FOLDERS.items()}
    table = own[split] if all(own.values()) else own["train"] or _metadata([root])
    if table is None:
        expected = "metadata.jsonl or metadata.csv; pictures alone are the data set folder"
        raise DatasetError(f"{root}: {'has' if root.is_dir() else 'there is'} no {expected}")
    rows = [_renamed(row, table) for row in read_rows(table)]
    if not rows:
        raise DatasetError(f"{table}: no pictures in this table")
    columns = _columns(rows, table, "file_name")
    if all(own.values()):
        chosen, how = np.arange(len(rows)), f"all of {table.parent.name}"
    else:
        chosen, how = np.flatnonzero(in_split(columns["target"], split, table)), "by a hash of their paths"
    return _pairs(table, columns, chosen, condition, Cropping(size, flip=flip), how)


def _renamed(row: Mapping[str, str], table: Path) -> dict[str, str]:
    """A row of Hugging Face's metadata by the names of `PAIR_COLUMNS`.

    Raises:
        DatasetError: two of its columns are one of them.
    """
    names = {key: "target" if key == "file_name" else key.removesuffix("_file_name") for key in row}
    found = {name: row[key] for key, name in names.items()}
    if len(found) < len(names):
        both = next([key for key in names if names[key] == name] for name in found if [*names.values()].count(name) > 1)
        raise DatasetError(f"{table}: has {' and '.join(both)}, which are the same column; leave one out")
    return found


def _metadata(folders: Iterable[Path]) -> Path | None:
    """The first metadata file that one of the folders has."""
    paths = (folder / name for folder in folders for name in _METADATA)
    return next((path for path in paths if path.is_file()), None)


def _columns(rows: Sequence[Mapping[str, str]], table: Path, first: str = "target") -> dict[str, list[str]]:
    """The columns of a table that are ours, with what no row has left out.

    Args:
        rows: of the table.
        table: its path.
        first: what it calls the target.

    Raises:
        DatasetError: some rows have what others have not, or files are not there.
    """
    columns = {name: [row.get(name, "") for row in rows] for name in PAIR_COLUMNS}
    for name, column in columns.items():
        count = sum(map(bool, column))
        if count < len(rows) and (count or name == "target"):
            raise DatasetError(
                f"{table}: {first if name == 'target' else name}: {count} of {len(rows)} rows have one, expected all"
                + ("" if name == "target" else " or none")
            )
    if columns["exemplar_condition"][0] and not columns["exemplar"][0]:
        raise DatasetError(f"{table}: has exemplar_condition, and no exemplar that it would be of")
    named = {path for column in columns.values() for path in column if path}
    refuse_absent(sorted(path for path in named if not os.path.exists(table.parent / path)), table)
    return columns


def _pairs(
    table: Path,
    columns: Mapping[str, list[str]],
    chosen: np.ndarray,
    condition: ConditionExtractor | None,
    cropping: Cropping,
    how: str,
) -> PicturePairs:
    """Pairs of chosen rows; pictures are numbered by rows, the exemplars' after the targets'."""
    targets, drawn, exemplars, given = (columns[name] for name in PAIR_COLUMNS)
    has_exemplars = bool(exemplars[0])
    if has_exemplars and isinstance(condition, AnnotationReader) and not given[0]:
        known = dict(zip(targets, drawn, strict=True))
        given = [known.get(exemplar, "") for exemplar in exemplars]
        if missing := [exemplar for exemplar, one in zip(exemplars, given, strict=True) if not one]:
            kind = type(condition).__name__
            raise DatasetError(f"{table}: {kind} reads annotations, and the exemplar {missing[0]} has none")
    files = PictureFiles(
        table.parent,
        Names([*targets, *exemplars] if has_exemplars else targets),
        Names([*drawn, *given] if has_exemplars else drawn),
    )
    own = chosen + len(targets)
    note = f"{len(chosen):,} of {len(targets):,} rows of {table.name}, {how}; "
    note += "exemplars as listed" if has_exemplars else SELF_WARPED
    exemplars_of = Exemplars(own, own, own) if has_exemplars else None
    return PicturePairs(files, chosen, exemplars_of, condition, cropping, str(table), note)
