"""Where the pictures of a data set are: paths, or members of tar files, of any number of them in little memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from midms.core.files import read_regular
from midms.core.schema import parse_json
from midms.images import PictureError, read_image
from midms.images.annotations import JOINTS, KEYPOINTS
from midms.images.decoding import FILE, from_bytes
from midms.images.headers import seems_whole, size_of

KEYPOINT_TEXTS = "_*.txt"
"""How a place ends that stands for two files, `..._candidate.txt` and `..._subset.txt`, of pytorch-openpose."""


class Names(Sequence[str]):
    """Many strings in one piece of memory, which processes that were forked share, and nothing counts references to.

    Args:
        names: the strings.
    """

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        place = range(len(self))[index]
        return self._bytes[self._ends[place] : self._ends[place + 1]].decode("utf-8", "surrogateescape")


class TarMember(NamedTuple):
    """A file in a tar file.

    Attributes:
        name: with its folders.
        archive: path of the tar file.
        start: its first byte there.
        size: in bytes.
    """

    name: str
    archive: str
    start: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}: {self.name}"

    def read(self) -> Image.Image | object:
        """The picture or JSON that it holds.

        Raises:
            PictureError: it cannot be read.
        """
        if self.size > FILE:
            raise PictureError(f"{self}: has {self.size:,} bytes, expected at most {FILE:,}")
        try:
            with open(self.archive, "rb") as file:
                file.seek(self.start)
                content = file.read(self.size)
        except OSError as error:
            raise PictureError(f"{self}: cannot be read ({error.strerror or error})") from None
        if len(content) < self.size:
            raise PictureError(f"{self}: is cut short, its archive ends after {len(content):,} of {self.size:,} bytes")
        return _json(content, str(self)) if self.name.endswith(".json") else from_bytes(content, str(self))


def member_place(archive: str, name: str, start: int, size: int) -> str:
    """A file in a tar file as one string, which `PictureFiles` reads: its name, the archive, first byte and length."""
    return "\0".join((name, archive, str(start), str(size)))


def member_at(root: Path, place: str) -> TarMember | None:
    """The file that `member_place` names, in an archive relative to root; None for a path."""
    if "\0" not in place:
        return None
    name, archive, start, size = place.split("\0")
    return TarMember(name, str(root / archive), int(start), int(size))


def file_state(root: Path, place: str) -> list[str | int | None]:
    """A place, and the bytes and time of change (ns) of the file there or of the archive; None where there is none."""
    member = member_at(root, place)
    name, path = (place, root / place) if member is None else (str(member), Path(member.archive))
    try:
        found = path.stat()
    except OSError:
        return [name, None, None]
    return [name, found.st_size, found.st_mtime_ns]


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Pictures by number, each with what its condition is read from, if anything.

    Attributes:
        root: folder that places are relative to.
        pictures: their places: paths, or what `member_place` gives.
        annotations: places of the drawing, label map or keypoints of each; "" where a condition is made of the
            picture itself.
    """

    root: Path
    pictures: Names
    annotations: Names

    def __len__(self) -> int:
        return len(self.pictures)

    def seem_whole(self, number: int, least: int) -> bool:
        """Whether a picture has so many pixels a side, and it and its annotation are there, as far as headers tell.

        What is in tar files counts as whole, for it lies where their headers say.
        """
        place, annotation = self.pictures[number], self.annotations[number]
        if "\0" in place:
            return True
        shape = size_of(self.root / place)
        given = () if annotation in ("", place) else _annotation_files(self.root / annotation)
        whole = all(map(seems_whole, (self.root / place, *given)))
        return whole and shape is not None and min(shape) >= least

    def picture(self, number: int) -> Float[Tensor, "1 3 Y X"]:
        """The picture in [-1, 1], upright.

        Raises:
            PictureError: it cannot be read.
        """
        place = self.pictures[number]
        member = member_at(self.root, place)
        return read_image(self.root / place if member is None else member.read(), self.name(place))

    def annotation(self, number: int, shape: tuple[int, int]) -> object | None:
        """What a condition extractor reads: a path, a PIL image, a dictionary of keypoints; None where there is none.

        Args:
            number: of the picture.
            shape: its height and width, to which keypoints refer.

        Raises:
            PictureError: it cannot be read.
        """
        place = self.annotations[number]
        if not place:
            return None
        if (member := member_at(self.root, place)) is not None:
            return member.read()
        path = self.root / place
        return _keypoint_texts(path, shape) if place.endswith(KEYPOINT_TEXTS) else path

    def name(self, place: str) -> str:
        """What errors call a place."""
        return str(member_at(self.root, place) or self.root / place)


def _json(content: bytes, name: str) -> object:
    if len(content) > KEYPOINTS:
        raise PictureError(f"{name}: has {len(content):,} bytes, expected at most {KEYPOINTS:,}")
    try:
        return parse_json(content)
    except (ValueError, RecursionError) as error:
        raise PictureError(f"{name}: cannot be read as JSON ({error})") from None


def _keypoint_texts(path: Path, shape: tuple[int, int]) -> dict[str, object]:
    """What pytorch-openpose left of a picture as text, as a dictionary that is like OpenPose's JSON.

    The one file has (x, y, confidence, number) of every joint that was found, the other which of these each of the 18
    joints is, -1 for none.

    Raises:
        PictureError: a file cannot be read, or holds other numbers.
    """
    found, chosen = map(_numbers, _annotation_files(path))
    try:
        joints = [[*found[int(i)][:2], 1.0] if i >= 0 else [0.0, 0.0, 0.0] for i in chosen[0][:JOINTS]]
        if len(joints) < JOINTS or any(len(joint) != 3 for joint in joints):
            raise IndexError
    except (IndexError, ValueError, OverflowError):
        raise PictureError(f"{path}: expected {JOINTS} joints, each the number of a line of the candidates") from None
    person = {"pose_keypoints_2d": [number for joint in joints for number in joint]}
    return {"people": [person], "canvas_height": shape[0], "canvas_width": shape[1]}


def _annotation_files(path: Path) -> tuple[Path, ...]:
    """The files of an annotation: one, or the two that `KEYPOINT_TEXTS` stands for, the joints' first."""
    if not path.name.endswith(KEYPOINT_TEXTS):
        return (path,)
    return tuple(Path(f"{str(path)[: -len('*.txt')]}{name}.txt") for name in ("candidate", "subset"))


def _numbers(path: Path) -> list[list[float]]:
    try:
        lines = read_regular(path, KEYPOINTS).decode("ascii").splitlines()
        return [[float(word) for word in line.split()] for line in lines if line.strip()]
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError:
        raise PictureError(f"{path}: expected lines of numbers") from None
