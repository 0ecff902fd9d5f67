"""Faces that artists drew, in random parts and colours: the npm package facesjs as a data set."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import int_range
from midms.core.protocols import ConditionExtractor
from midms.data.errors import DatasetError
from midms.data.lineart.drawn import Reframing, drawn_pair
from midms.data.lineart.faces import COLOUR_SLOTS, face_svg, random_palette, with_colours, without_outlines
from midms.data.lineart.facesjs_package import FacesPackage
from midms.data.lineart.layers import ByteCache, ColourLayers
from midms.data.lineart.svg import SVG_SIZES, decoded, rasterised, require_svg
from midms.data.pair import Pair

_SPLITS = ("train", "validation", "test")
_HELD_OUT = 1000
"""Faces of each split that is not trained on."""
_PALETTES = 2**31
"""Palettes that a random pair may have."""
_MOST = 128 * 2**20
"""Bytes of rendered faces that are kept; at 128 pixels a face takes about 40,000."""
_BLACK, _RED, _GREEN, _BLUE, _WHITE = "#000", "#f00", "#0f0", "#00f", "#fff"
_RENDERINGS = (
    dict.fromkeys(COLOUR_SLOTS, _BLACK),
    dict.fromkeys(COLOUR_SLOTS, _BLACK) | dict(zip(COLOUR_SLOTS, (_RED, _GREEN, _BLUE), strict=False)),
    dict.fromkeys(COLOUR_SLOTS, _BLACK) | dict(zip(COLOUR_SLOTS[3:], (_RED, _GREEN, _BLUE), strict=True)),
)
"""The base, and the masks of three slots each in the three channels."""
_LINES = dict.fromkeys(COLOUR_SLOTS, _WHITE)


def facesjs(
    path: str | os.PathLike[str],
    *,
    size: int = 128,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    faces: int = 4096,
) -> DrawnFaces:
    """Cartoon faces of the npm package facesjs 5: a line drawing, another face in the same colours, the exact answer.

    A face's features and a palette follow from words of their own, so that any face has any colours; those held out
    share none with those trained on. The package is by Jeremy Scheff, Apache-2.0 (https://github.com/zengm-games/facesjs);
    `npm pack facesjs@5.0.3` and `tar xf` bring it. Rendering needs `pip install 'midms[lineart]'`.

    To choose for training or measuring line art where the answer is known.

    Args:
        path: the folder of the unpacked package, in which `package.json` lies.
        size: pixels of the pairs' sides, 64 to 512.
        condition: what reads line drawings and pictures; without, the condition is the drawing's ink, one channel, and
            there are no conditions of exemplars.
        split: "train", "validation" or "test".
        faces: how many are trained on, each in endless palettes.

    Raises:
        DatasetError: it is no such package, what renders is not installed, or there is no such split.
        OutOfLimits: a number is out of its limits.
    """
    require_svg("facesjs")
    int_range(*SVG_SIZES, size=size)
    int_range(2, 10_000_000, faces=faces)
    if split not in _SPLITS:
        raise DatasetError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}")
    return DrawnFaces(FacesPackage.read(path), split, size, condition, faces if split == "train" else _HELD_OUT)


@dataclass(frozen=True, eq=False)
class DrawnFaces:
    """The pairs of `facesjs`: pair i asks for face i, in the colours of another.

    What was rendered last is kept, compressed and within bounds. The foreground is all but the background.

    Attributes:
        package: parts of faces.
        split: what the faces' words begin with.
        size: pixels a side.
        condition: what reads line drawings and pictures, if anything.
        count: how many faces there are.
        character: a word that all of them are drawings of one character by; "" where each is another's.
    """

    package: FacesPackage
    split: str
    size: int
    condition: ConditionExtractor | None
    count: int
    character: str = ""
    _kept: ByteCache = field(default_factory=lambda: ByteCache(_MOST), init=False, repr=False)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        """A pair, always the same.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: the face cannot be drawn.
        """
        self._refuse_beyond(index)
        return self.pair(index, (index + 1) % len(self), random_palette(f"{self.split} palette {index}"))

    def draw(self, index: int, generator: torch.Generator) -> Pair:
        """The same face to be coloured, in random colours that any other face shows.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: a face cannot be drawn.
        """
        self._refuse_beyond(index)
        return self.pair(index, *self.random_exemplar(index, generator))

    def random_exemplar(self, index: int, generator: torch.Generator) -> tuple[int, Float[Tensor, "6 3"]]:
        """Any face but `index`, and colours."""
        other = int(torch.randint(1, len(self), (), generator=generator))
        number = int(torch.randint(_PALETTES, (), generator=generator))
        return (index + other) % len(self), random_palette(f"{self.split} random palette {number}")

    def pair(
        self,
        index: int,
        other: int,
        colours: Float[Tensor, "6 3"],
        outlined: bool = True,
        redraw: Callable[[Tensor], Tensor] | None = None,
        framings: tuple[Reframing | None, Reframing | None] = (None, None),
    ) -> Pair:
        """The drawing of one face to be coloured like another.

        Args:
            index: the face that is drawn.
            other: the face of the exemplar.
            colours: of the slots, in [0, 1].
            outlined: whether the exemplar has its black lines.
            redraw: from the drawing's ink [1 1 y x] in [0, 1] to that of another hand.
            framings: of the exemplar, and of the drawing with its answer.

        Raises:
            BrokenSample: a face cannot be drawn, or its drawing not read.
        """
        layers = self.layers(index)
        target, exemplar = layers.coloured(colours), self.layers(other, outlined).coloured(colours)
        foreground = layers.masks[None, [COLOUR_SLOTS.index("background")]] < 128
        drawing = self.drawing(index, self.size if self.condition is None else 2 * self.size)
        plain = 2 * colours[COLOUR_SLOTS.index("background")] - 1
        if (framing := framings[0]) is not None:
            exemplar = framing(exemplar, plain)
        if (framing := framings[1]) is not None:
            target, drawing = framing(target, plain), framing(drawing, 1)
            foreground = framing(foreground.float(), 0) > 0.5
        return drawn_pair(drawing, exemplar, target, foreground, self.condition, redraw, self._name(index))

    def layers(self, index: int, outlined: bool = True) -> ColourLayers:
        """Face `index`, ready for any colours of `COLOUR_SLOTS`, with its black lines or without.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: it cannot be drawn.
        """
        self._refuse_beyond(index)
        base, *coloured = (self._rendered(index, colours, self.size, outlined).int() for colours in _RENDERINGS)
        masks = torch.cat([(one - base).clamp_(0, 255) for one in coloured])
        return ColourLayers(base.byte(), masks.byte())

    def masks(self, index: int) -> dict[str, Float[Tensor, "1 1 y x"]]:
        """How much of each slot's colour the pixels of a pair's target show, in [0, 1]; see `layers`."""
        found = self.layers(index).masks / 255
        return {slot: mask[None, None] for slot, mask in zip(COLOUR_SLOTS, found, strict=True)}

    def drawing(self, index: int, side: int) -> Float[Tensor, "1 3 y x"]:
        """The line drawing of face `index` in [-1, 1], of any number of pixels a side.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: it cannot be drawn.
        """
        self._refuse_beyond(index)
        return self._rendered(index, _LINES, side)[None] / 127.5 - 1

    def _rendered(self, index: int, colours: dict[str, str], side: int, outlined: bool = True) -> Tensor:
        name = self._name(index)

        def make() -> bytes:
            svg = with_colours(face_svg(self.package, f"{self.split} {index}", self.character), colours)
            return rasterised(svg if outlined else without_outlines(svg), side, name)

        return decoded(self._kept.get((index, tuple(colours.values()), side, outlined), make))

    def _name(self, index: int) -> str:
        return f"{self.package.root}, {self.split} face {index}"

    def _refuse_beyond(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"faces are numbered 0 to {len(self) - 1}, got {index}")
