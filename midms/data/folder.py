"""A folder of pictures and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from midms.core.protocols import ConditionExtractor
from midms.data.crops import Cropping
from midms.data.errors import DatasetError
from midms.data.files import Names, PictureFiles
from midms.data.pair_lists import numbered, read_pair_list
from midms.data.pictures import PicturePairs
from midms.data.splits import in_split
from midms.images.names import pictures_below

SELF_WARPED = "the exemplar of each picture is itself under a smooth warp that is known"
"""The note of data sets that have no exemplars."""


def folder(
    path: str | os.PathLike[str],
    *,
    size: int,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    pairs: str | os.PathLike[str] | None = None,
    flip: bool = True,
) -> PicturePairs:
    """Pictures of a folder and of those in it; their conditions are made of the pictures themselves.

    One of twenty is held out, by a hash of its name. With a list of pairs, exemplars are chosen as CoCosNet does:
    the last of a picture's list in a fifth of all draws, the first in a half, else the picture itself; in training,
    exemplars that are held out are passed over.

    To choose for pictures of one's own, with nothing beside them.

    Args:
        path: the folder.
        size: pixels of the pairs' sides.
        condition: makes the maps; must be given.
        split: "train" or "validation".
        pairs: a list as `midms pairs` writes it, CSV or `*_ref.txt`; without one each picture is its own exemplar,
            under a smooth warp whose flow is exact.
        flip: whether pictures are mirrored in half of all draws.

    Raises:
        DatasetError: there are no pictures, too few, or the list names others.
    """
    root = Path(path)
    names = list_pictures(root)
    chosen = in_split(names, split, root)
    targets = [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
    note = f"{len(targets):,} of {len(names):,} pictures for {split}, by a hash of their names; "
    exemplars = None
    if pairs is not None:
        numbers = {name: i for i, name in enumerate(names)}
        found = read_pair_list(Path(pairs), root, numbers.__contains__)
        if split == "train":
            seen = set(targets)
            found = {target: [one for one in few if one in seen] for target, few in found.items() if target in seen}
        exemplars = numbered(found, targets, numbers, Path(pairs))
        note += f"exemplars from {pairs}"
    return PicturePairs(
        PictureFiles(root, Names(names), Names([""] * len(names))),
        np.flatnonzero(chosen),
        exemplars,
        condition,
        Cropping(size, flip=flip),
        str(root),
        note if exemplars else note + SELF_WARPED,
    )


def list_pictures(root: Path) -> list[str]:
    """Pictures of a folder and of those in it.

    Raises:
        DatasetError: it is no folder, or has no pictures.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: {'is a file, expected a folder' if root.exists() else 'there is no such folder'}")
    if not (names := pictures_below(root)):
        raise DatasetError(f"{root}: no pictures in this folder")
    return names
