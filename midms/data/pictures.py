"""Pairs made of picture files: read, cropped and mirrored when they are asked for. Every layout on disk ends here."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.limits import LARGEST, int_range
from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.data.crops import Crop, Cropping
from midms.data.errors import BrokenSample, DatasetError
from midms.data.files import PictureFiles
from midms.data.pair import Pair
from midms.data.warp import Warp, known_flow, warped
from midms.images import PictureError, name_in_errors, read_image, resize

HARD, EASY = 0.2, 0.7
"""Below the first share the exemplar of a random pair is the hard one, from there to the second the easy one, else the
picture itself, as CoCosNet and MIDMs train."""
_LEAST = 16
"""Pixels of the smallest side that pairs can have."""
ANYTHING = -1
"""In the place of an exemplar's number: whichever picture of the data set."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Exemplars:
    """The numbers of each target's exemplars; where there is but one, it is all three.

    Attributes:
        easy: most like the target; that of a pair that is not random.
        hard: least like it of those that were found for it, or `ANYTHING`.
        own: the target itself, or another picture of the same.
    """

    easy: Int[np.ndarray, " n"]
    hard: Int[np.ndarray, " n"]
    own: Int[np.ndarray, " n"]


class _Seen(NamedTuple):
    """A picture as it is read for a pair.

    Attributes:
        crop: of it.
        whole: the picture, in the crop's size and orientation.
        map: the condition map of all of it, or None where it is made of what is shown.
        name: what errors call it.
    """

    crop: Crop
    whole: Float[Tensor, "1 3 Y X"]
    map: Float[Tensor, "1 k Y X"] | None
    name: str


@dataclass(frozen=True, eq=False)
class PicturePairs:
    """A data set of pictures that are files; the layouts (`midms.data.folder` and others) say which.

    `dataset[i]` is always the same: of each picture the middle, and the easy exemplar. `draw` crops, mirrors and
    chooses the exemplar at random. Without exemplars the target itself is the exemplar, under a smooth warp (`Warp`),
    another for each target and each draw; its flow is exact.

    Attributes:
        files: the pictures.
        targets: the numbers of those that are translated to.
        exemplars: of each target; None for the target itself under a warp.
        condition: what makes the maps: of the annotation or drawing of a picture where it has one, else of the picture.
        cropping: what is shown of a picture.
        name: what errors call the whole, such as its folder.
        note: in a line, which pictures these are and where exemplars come from; it is logged.
        left_out: files that could not be read when this was made, a line each.

    Raises:
        DatasetError: there is no target or no condition, or it reads annotations and pictures have none.
        OutOfLimits: the size is none.
    """

    files: PictureFiles
    targets: Int[np.ndarray, " n"]
    exemplars: Exemplars | None
    condition: ConditionExtractor | None
    cropping: Cropping
    name: str
    note: str
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        int_range(_LEAST, LARGEST, size=self.cropping.size)
        if self.condition is None:
            raise DatasetError(f"{self.name}: condition must be given, such as midms.create('condition', 'edges')")
        if not len(self.targets):
            raise DatasetError(f"{self.name}: no pictures of this split")
        if isinstance(self.condition, AnnotationReader) and not self.files.annotations[int(self.targets[0])]:
            kind = type(self.condition).__name__
            raise DatasetError(f"{self.name}: {kind} reads annotations, and these are pictures alone")
        _LOG.info("%s: %s", self.name, self.note)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Pair:
        """A pair, always the same.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: a file of it cannot be read.
        """
        return self._pair(index, None)

    def draw(self, index: int, generator: torch.Generator) -> Pair:
        """A random version of a pair, which follows from the generator's state alone.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: a file of it cannot be read.
        """
        return self._pair(index, generator)

    def picture_numbers(self, most: int | None = None) -> Int[np.ndarray, " m"]:
        """The numbers of those that pairs are made of: the first so many, or all."""
        columns = [self.targets]
        if self.exemplars is not None:
            columns += [self.exemplars.easy, self.exemplars.hard, self.exemplars.own]
        found = np.unique(np.concatenate([column[:most] for column in columns]))
        return found[found != ANYTHING]

    def check_picture(self, number: int) -> None:
        """Find out by the headers of its files whether a picture can be read; where these are wrong, by reading it.

        What is wrong within files, such as labels beyond the range, is found when a pair is asked for.

        Raises:
            BrokenSample: a file of it cannot be read.
        """
        if not self.files.seem_whole(number, self.cropping.size):
            with _broken():
                self._seen(number, None)

    @property
    def _extractor(self) -> ConditionExtractor:
        assert self.condition is not None, "refused when this was made"
        return self.condition

    def _pair(self, index: int, generator: torch.Generator | None) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(f"pairs of {self.name} are numbered 0 to {len(self) - 1}, got {index}")
        with _broken():
            target = self._seen(int(self.targets[index]), generator)
            shown, asked = self._shown(target)
            if self.exemplars is None:
                return self._warped(target, shown, asked, generator or torch.Generator().manual_seed(index))
            exemplar = self._seen(self._exemplar(self.exemplars, index, generator), generator)
            picture, condition = self._shown(exemplar)
            return Pair(asked, picture, shown, condition)

    def _exemplar(self, exemplars: Exemplars, index: int, generator: torch.Generator | None) -> int:
        """The number of the exemplar's picture."""
        if generator is None:
            return int(exemplars.easy[index])
        share, other = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        chosen = exemplars.hard if share < HARD else exemplars.easy if share < EASY else exemplars.own
        number = int(chosen[index])
        return int(self.targets[int(other * len(self))]) if number == ANYTHING else number

    def _seen(self, number: int, generator: torch.Generator | None) -> _Seen:
        name, source = self.files.name(self.files.pictures[number]), self.files.picture(number)
        height, width = source.shape[-2:]
        if min(height, width) < self.cropping.size:
            size = self.cropping.size
            raise PictureError(f"{name}: is {width} x {height} pixels, expected at least {size} a side")
        crop = self.cropping((height, width), generator)
        found = self._map(number, (height, width), crop.whole)
        whole = crop.turned(resize(source, crop.whole).clamp(-1, 1))
        return _Seen(crop, whole, None if found is None else crop.turned(found), name)

    def _map(self, number: int, shape: tuple[int, int], size: tuple[int, int]) -> Float[Tensor, "1 k y x"] | None:
        """The condition map of a picture that has an annotation or drawing.

        Args:
            number: of the picture.
            shape: its height and width.
            size: height and width of the map.

        Raises:
            PictureError: it cannot be read, or is of other proportions than the picture.
        """
        source = self.files.annotation(number, shape)
        if source is None:
            return None
        name = self.files.name(self.files.annotations[number])

        def fit(own: tuple[int, int]) -> tuple[int, int]:
            if abs(own[0] * shape[1] - own[1] * shape[0]) > max(*own, *shape):
                raise PictureError(
                    f"{name}: is {own[1]} x {own[0]} pixels, expected the proportions of its picture,"
                    f" {shape[1]} x {shape[0]}"
                )
            return size

        if isinstance(self._extractor, AnnotationReader):
            return self._extractor.read(source, name, fit)
        drawing = read_image(source, name)
        with name_in_errors(name):
            return self._extractor.drawing(drawing, fit((drawing.shape[-2], drawing.shape[-1])))

    def _shown(self, seen: _Seen) -> tuple[Float[Tensor, "1 3 s s"], Float[Tensor, "1 k s s"]]:
        """The crop of a picture, and its condition map."""
        picture = seen.crop.cut(seen.whole)
        with name_in_errors(seen.name):
            return picture, self._extractor.photo(picture) if seen.map is None else seen.crop.cut(seen.map)

    def _warped(self, target: _Seen, shown: Tensor, asked: Tensor, generator: torch.Generator) -> Pair:
        """The pair of a target and itself under a warp.

        Where conditions are drawings, that of the exemplar is made of its picture, as when a picture is translated.
        """
        warp = Warp.drawn(generator)
        exemplar = warped(target.whole, target.crop, warp, "bilinear")
        if target.map is not None and isinstance(self.condition, AnnotationReader):
            condition = warped(target.map, target.crop, warp, "nearest")
        else:
            with name_in_errors(target.name):
                condition = self._extractor.photo(exemplar)
        return Pair(asked, exemplar, shown, condition, *known_flow(target.crop, warp))


@contextmanager
def _broken() -> Iterator[None]:
    """What cannot be read is raised as a broken pair's.

    Raises:
        BrokenSample: instead of a PictureError or OSError.
    """
    try:
        yield
    except (PictureError, OSError) as error:
        raise BrokenSample(" ".join(str(error).split())) from None
