"""Pairs in tar files, as webdataset has them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.data.crops import Cropping
from midms.data.errors import DatasetError
from midms.data.files import Names, PictureFiles, member_place
from midms.data.folder import SELF_WARPED
from midms.data.pictures import Exemplars, PicturePairs
from midms.data.shards import members
from midms.data.splits import check_split, in_split
from midms.images.names import natural_key, picture_suffixes

PARTS = ("", "condition", "exemplar", "exemplar_condition")
"""What stands between a sample's key and the suffix of each of its files."""
_SHARDS = 100_000
"""Most tar files that a pattern names."""
_NAMED = 3
"""Members that are named of those that are passed over."""


def webdataset(
    path: str | os.PathLike[str],
    *,
    size: int,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    flip: bool = True,
) -> PicturePairs:
    """Tar files whose members are called by samples: KEY.jpg, and KEY.condition.png, KEY.exemplar.jpg,
    KEY.exemplar_condition.png where there are such.

    A key is what a name has before its first dot, folders included; pictures are of any format, keypoints .json, what
    else there is (KEY.txt, or KEY.MORE.condition.png) is passed over, and how much that is, is logged. Headers are read
    once, a picture's bytes when it is asked for; nothing is unpacked. What holds of conditions and exemplars is as in
    `pairs`. One sample of twenty is held out, by a hash of its key.

    To choose for millions of pictures, or pictures on disks that are slow with small files.

    Args:
        path: a tar file, a folder of them, or a pattern such as `shards/{000..010}.tar` or `shards/*.tar`.
        size: pixels of the pairs' sides.
        condition: makes the maps; must be given.
        split: "train" or "validation".
        flip: whether pictures are mirrored in half of all draws.

    Raises:
        DatasetError: there are no such files or no pictures in them, or samples lack what others have. Of a tar file
            that cannot be read to its end the samples before that are taken, and `left_out` of the result says so.
    """
    check_split(split)
    others, left_out = PassedOver(), list[str]()
    samples = _samples(path, others, left_out)
    columns = [[sample[i] for sample in samples.values() if sample[0]] for i in range(len(PARTS))]
    if not columns[0]:
        if left_out:
            raise DatasetError(left_out[0])
        raise DatasetError(f"{path}: no pictures in it, expected members such as 000001.jpg{others}")
    for name, column in zip(PARTS[1:], columns[1:], strict=True):
        if 0 < (count := sum(map(bool, column))) < len(column):
            raise DatasetError(f"{path}: {count} of {len(column)} samples have KEY.{name}, expected all or none")
    keys = [key for key, sample in samples.items() if sample[0]]
    chosen = np.flatnonzero(in_split(keys, split, path))
    own = np.arange(len(keys), 2 * len(keys)) if columns[2][0] else None
    if own is not None and isinstance(condition, AnnotationReader) and not columns[3][0]:
        raise DatasetError(f"{path}: {type(condition).__name__} reads annotations, expected KEY.exemplar_condition too")
    pictures, annotations = (columns[i] + (columns[i + 2] if own is not None else []) for i in (0, 1))
    return PicturePairs(
        PictureFiles(Path(), Names(pictures), Names(annotations)),
        chosen,
        None if own is None else Exemplars(own[chosen], own[chosen], own[chosen]),
        condition,
        Cropping(size, flip=flip),
        str(path),
        f"{len(chosen):,} of {len(keys):,} samples for {split}, by a hash of their keys; "
        + f"{SELF_WARPED if own is None else 'exemplars as they come with them'}{others}"
        + "".join(f"; {message}" for message in left_out),
        tuple(left_out),
    )


def _samples(path: str | os.PathLike[str], others: PassedOver, left_out: list[str]) -> dict[str, list[str]]:
    """Places of each sample's `PARTS` by key, "" for none; of a tar file that is cut, samples that have all alone.

    Raises:
        DatasetError: there are no such files, or a sample has a part twice.
    """
    samples, cut = dict[str, list[str]](), set[str]()
    for shard in shards(path):
        whole, keys_here = len(left_out), set[str]()
        for key, part, place in _to_the_damage(shard, others, left_out):
            sample = samples.setdefault(key, [""] * len(PARTS))
            keys_here.add(key)
            if sample[part]:
                which = PARTS[part] or "picture"
                raise DatasetError(f"{shard}: {name_of(place)} is another {which} of {key}, expected one")
            sample[part] = place
        cut |= keys_here if len(left_out) > whole else set()
    known = [any(column) for column in zip(*samples.values(), strict=True)]
    return {k: one for k, one in samples.items() if k not in cut or [*map(bool, one)] == known}


def _to_the_damage(shard: str, others: PassedOver, left_out: list[str]) -> Iterator[tuple[str, int, str]]:
    """As `sample_files`; what cannot be read ends it, and is added to `left_out`."""
    try:
        yield from sample_files(shard, others)
    except DatasetError as error:
        left_out.append(str(error))


@dataclass
class PassedOver:
    """Members of tar files that are of no sample; as text, what to add to a line about the tar files.

    Attributes:
        count: of them.
        dotted: names of the first of those that would be of one if their keys had no dots.
        others: names of the first of the others.
    """

    count: int = 0
    dotted: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        place = PurePosixPath(name)
        is_hidden, part = place.name.startswith("."), PurePosixPath(place.stem).suffix.lower().removeprefix(".")
        names = self.dotted if part in PARTS[1:] and not is_hidden else self.others
        names += [name] * (len(names) < _NAMED)

    def __str__(self) -> str:
        if not self.count:
            return ""
        some = [*self.dotted, *self.others][:_NAMED]
        more = f" and {self.count - len(some):,} more" if self.count > len(some) else ""
        return f"; passed over: {', '.join(some)}{more}{', for a key ends at the first dot' if self.dotted else ''}"


def sample_files(shard: str, others: PassedOver) -> Iterator[tuple[str, int, str]]:
    """Of each file of ours in a tar file: its sample's key, which of `PARTS` it is, its place as `member_place` has it.

    Args:
        shard: path of the tar file.
        others: where the others are counted.

    Yields:
        One after the other, in their order there.

    Raises:
        DatasetError: the file cannot be read, or no further.
    """
    for member in members(Path(shard)):
        key, part = _sorted_out(member.name)
        if part is None:
            others.add(member.name)
        else:
            yield key, part, member_place(shard, member.name, member.start, member.size)


def name_of(place: str) -> str:
    """A member's name, from its place."""
    return place.split("\0")[0]


def _sorted_out(name: str) -> tuple[str, int | None]:
    """The key of a member and which of `PARTS` it is, or None."""
    place = PurePosixPath(name)
    stem, _, rest = place.name.partition(".")
    part, _, suffix = rest.lower().rpartition(".")
    known = f".{suffix}" in picture_suffixes() or (suffix == "json" and part.endswith("condition"))
    is_ours = known and part in PARTS and stem != ""  # else it is hidden
    return str(place.with_name(stem)) if is_ours else name, PARTS.index(part) if is_ours else None


def shards(path: str | os.PathLike[str]) -> list[str]:
    """The tar files that a path or pattern names, in the order of names within each pattern.

    Raises:
        DatasetError: there are none, or too many.
    """
    found: list[str] = []
    for pattern in expanded(os.fspath(path)):
        if os.path.isdir(pattern):
            pattern = os.path.join(glob.escape(pattern), "*.tar")
        near = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern), key=natural_key)
        if not near:
            raise DatasetError(f"{pattern}: no such tar file, or folder of some, called *.tar")
        found += near
    return list(dict.fromkeys(found))


def expanded(pattern: str) -> list[str]:
    """What the first {000..010} or {a,b} of a pattern stands for, and so on, as shells have it.

    Raises:
        DatasetError: that is too many.
    """
    if not (braces := re.search(r"\{([^{}]*(?:,|\.\.)[^{}]*)\}", pattern)):
        return [pattern]
    patterns: list[str] = []
    for inside in _alternatives(braces[1]):
        patterns += expanded(pattern[: braces.start()] + inside + pattern[braces.end() :])
        if len(patterns) > _SHARDS:
            raise DatasetError(f"{pattern}: names more than {_SHARDS:,} files")
    return patterns


def _alternatives(inside: str) -> Iterator[str]:
    if not (span := re.fullmatch(r"(\d+)\.\.(\d+)", inside)):
        yield from inside.split(",")
        return
    first, last = int(span[1]), int(span[2])
    for number in range(first, last + 1) if first <= last else range(first, last - 1, -1):
        yield str(number).zfill(len(span[1]) if span[1].startswith("0") else 0)
