"""Which pictures are held out, where a data set does not say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from midms.data.errors import DatasetError

HELD_OUT_SHARE = 20
"""One picture of so many is held out."""
SPLIT_NAMES = ("train", "validation")


def check_split(split: object) -> None:
    """Find out whether it is the name of a split.

    Raises:
        DatasetError: it is not.
    """
    if split not in SPLIT_NAMES:
        raise DatasetError(f"split must be one of {', '.join(SPLIT_NAMES)}, got {split!r}")


def in_split(names: Sequence[str], split: str, where: object) -> Bool[np.ndarray, " n"]:
    """Which pictures are of a split: by a hash of its name one of twenty is held out, and at least one.

    A picture stays in its split when others are added, unless none was held out but by that rule.

    Args:
        names: of the pictures; the same name is in the same split.
        split: one of `SPLIT_NAMES`.
        where: what errors call the whole.

    Raises:
        DatasetError: there is no such split, or nothing is left to train on.
    """
    check_split(split)
    ranks = np.array([_rank(name) for name in names], dtype=np.uint64)
    held_out = ranks % np.uint64(HELD_OUT_SHARE) == 0
    if len(ranks) and not held_out.any():
        held_out = ranks == ranks.min()
    if held_out.all():
        count = "no pictures" if not len(names) else f"{len(names)} of one name or hash"
        raise DatasetError(f"{where}: has {count}, expected at least two pictures, for one is held out")
    return held_out if split == "validation" else ~held_out


def _rank(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
