"""Emoji that artists drew, each in five skin colourings: the npm package openmoji as a data set."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.errors import NothingDrawn
from midms.core.files import read_regular
from midms.core.limits import int_range
from midms.core.protocols import ConditionExtractor
from midms.data.errors import BrokenSample, DatasetError
from midms.data.lineart.layers import ByteCache
from midms.data.lineart.svg import SVG_SIZES, decoded, rasterised, require_svg
from midms.data.pair import Pair
from midms.data.splits import SPLIT_NAMES, in_split

SKIN_TONES = {"1F3FB": 0xFADCBC, "1F3FC": 0xDEBB90, "1F3FD": 0xC19A65, "1F3FE": 0xA57939, "1F3FF": 0x6A462F}
"""The colour of skin, red, green and blue, by the code point of the colouring, light to dark."""
_TONES = (*SKIN_TONES,)
_COLOURED, _LINES = "color/svg", "black/svg"
_MAX_BYTES = 2**20
_MOST = 64 * 2**20
"""Bytes of rendered drawings that are kept."""
_NEAR = 0.02
"""How far a colour may be from that of skin, of 1."""


def openmoji(
    path: str | os.PathLike[str],
    *,
    size: int = 128,
    condition: ConditionExtractor | None = None,
    split: str = "train",
) -> SkinTones:
    """Emoji of the npm package openmoji that come in five skin colourings; the exemplar is another of the same tone.

    For evaluation, and for use of one's own: the drawings are licensed CC BY-SA 4.0 (https://openmoji.org), which asks
    for attribution, and for the same licence of what is made of them and passed on. midms contains none of them, and
    its own weights have not seen them. `npm pack openmoji@17.0.0` and `tar xf` bring them. Rendering needs
    `pip install 'midms[lineart]'`.

    To choose for measuring line art on drawings that no weights here have seen.

    Args:
        path: the folder of the unpacked package, in which `color/svg` and `black/svg` lie.
        size: pixels of the pairs' sides, 64 to 512.
        condition: what reads line drawings and pictures; without, the condition is the drawing's ink, one channel, and
            there are no conditions of exemplars.
        split: "train" or "validation", one drawing of twenty by a hash of its name; or "test", all of them, for what
            was not trained on any.

    Raises:
        DatasetError: it is no such package, what renders is not installed, or there is no such split.
        OutOfLimits: the size is out of its limits.
    """
    require_svg("openmoji")
    int_range(*SVG_SIZES, size=size)
    root = Path(path)
    families = _families(root)
    if split != "test":
        if split not in SPLIT_NAMES:
            raise DatasetError(f"split must be one of {', '.join(SPLIT_NAMES)}, test, got {split!r}")
        families = [name for name, own in zip(families, in_split(families, split, root), strict=True) if own]
    return SkinTones(root, tuple(families), size, condition)


def _families(root: Path) -> list[str]:
    """File names with `*` in place of the tone, of drawings that are there in all five, as lines too.

    Raises:
        DatasetError: there are no two.
    """
    expected = "expected the unpacked npm package openmoji: `npm pack openmoji@17.0.0`, `tar xf`, its folder"
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    for place in (_COLOURED, _LINES):
        if not (root / place).is_dir():
            raise DatasetError(f"{root}: has no folder {place}; {expected}")
    lines = {file.name for file in os.scandir(root / _LINES)}
    found: Counter[str] = Counter()
    for name in {file.name for file in os.scandir(root / _COLOURED)} & lines:
        tones = [tone for tone in _TONES if tone in name]
        if len(tones) == 1 and name.endswith(".svg"):
            found[name.replace(tones[0], "*")] += 1
    families = sorted(name for name, count in found.items() if count == len(_TONES) and name != "*.svg")
    if len(families) < 2:
        raise DatasetError(f"{root}: has {len(families)} drawings in five skin colourings; {expected}")
    return families


@dataclass(frozen=True, eq=False)
class SkinTones:
    """The pairs of `openmoji`: five of each drawing, one a tone.

    Attributes:
        root: of the package.
        families: names of drawings, with `*` for the tone.
        size: pixels a side.
        condition: what reads line drawings and pictures, if anything.
    """

    root: Path
    families: tuple[str, ...]
    size: int
    condition: ConditionExtractor | None
    _kept: ByteCache = field(default_factory=lambda: ByteCache(_MOST), init=False, repr=False)

    def __len__(self) -> int:
        return len(self.families) * len(_TONES)

    def __getitem__(self, index: int) -> Pair:
        """A drawing and the next one, in the same tone.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: a file cannot be read.
        """
        return self._pair(index, 1)

    def draw(self, index: int, generator: torch.Generator) -> Pair:
        """The same drawing and any other, in the same tone.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: a file cannot be read.
        """
        return self._pair(index, int(torch.randint(1, max(2, len(self.families)), (), generator=generator)))

    def masks(self, index: int) -> dict[str, Float[Tensor, "1 1 y x"]]:
        """Where a pair's target shows skin, 1 where it has the tone's colour in all five colourings.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: a file cannot be read.
        """
        family, _ = self._place(index)
        skin = torch.ones(1, 1, self.size, self.size)
        for tone, colour in SKIN_TONES.items():
            wanted = torch.tensor([*colour.to_bytes(3, "big")])[:, None, None] / 127.5 - 1
            off = (self._rendered(_COLOURED, family, tone, self.size) - wanted).abs() / 2
            skin *= off.amax(1, keepdim=True) < _NEAR
        return {"skin": skin}

    def drawing(self, index: int, side: int) -> Float[Tensor, "1 3 y x"]:
        """The line drawing of a pair in [-1, 1], of any number of pixels a side.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: the file cannot be read.
        """
        return self._rendered(_LINES, *self._place(index), side)

    def _place(self, index: int) -> tuple[str, str]:
        """A drawing and its tone."""
        if not 0 <= index < len(self):
            raise IndexError(f"pairs of {self.root} are numbered 0 to {len(self) - 1}, got {index}")
        family, tone = divmod(index, len(_TONES))
        return self.families[family], _TONES[tone]

    def _pair(self, index: int, further: int) -> Pair:
        target, tone = self._place(index)
        other = self.families[(index // len(_TONES) + further) % len(self.families)]
        shown, exemplar = (self._rendered(_COLOURED, family, tone, self.size) for family in (target, other))
        if self.condition is None:
            return Pair((1 - self.drawing(index, self.size).mean(1, keepdim=True)) / 2, exemplar, shown)
        drawing = self.drawing(index, 2 * self.size)
        try:
            lines = self.condition.drawing(drawing, (self.size, self.size))
        except NothingDrawn as error:
            raise BrokenSample(f"{self._file(_LINES, target, tone)}: {error}") from None
        return Pair(lines, exemplar, shown, self.condition.photo(exemplar))

    def _rendered(self, place: str, family: str, tone: str, side: int) -> Float[Tensor, "1 3 y x"]:
        file = self._file(place, family, tone)

        def make() -> bytes:
            try:
                svg = read_regular(file, _MAX_BYTES).decode()
            except OSError as error:
                raise BrokenSample(f"{file}: cannot be read ({error.strerror or error})") from None
            except ValueError:
                raise BrokenSample(f"{file}: cannot be read as UTF-8") from None
            return rasterised(svg, side, str(file))

        return decoded(self._kept.get((place, family, tone, side), make))[None] / 127.5 - 1

    def _file(self, place: str, family: str, tone: str) -> Path:
        return self.root / place / family.replace("*", tone)
