"""Portraits as a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from midms.core.limits import int_range
from midms.core.protocols import ConditionExtractor
from midms.data.pair import Pair
from midms.data.portraits.cached import CachedPortraits
from midms.data.portraits.pairs import RENDERINGS, SIZES, SPLIT_LENGTH, SPLITS, draw_pairs
from midms.data.portraits.variety import VARIETIES


@dataclass(frozen=True)
class Portraits:
    """Computer-drawn faces: a sketch, another pose of the same face as exemplar, and the exact answer and flow.

    Each pair is rendered when it is asked for; the same index always gives the same pair. Its foreground is the head.

    To choose for trying anything: nothing is downloaded, and answer and flow are exact.

    Attributes:
        split: "train", "validation", "test", or "hard", whose heads are turned far to opposite sides.
        size: pixels a side, 64 to 256.
        condition: what reads sketches and pictures; without, the condition is the sketch's ink, one channel, and there
            are no conditions of exemplars.
        styles: faces to train on, of the training alone, which renders and keeps them in several poses each.
        geometries: poses of each of these.
        rendering: "painted", with a sketch by hand; or "lineart", outlines with fills that are flat in one half of all
            styles and cel-shaded in the other; the drawing is these outlines, to the pixel.
        variety: "narrow", one upright face that fills the square; or "wide": many are moved by up to a quarter of the
            width and scaled from .5 to 1.2, before backdrops from empty to cluttered, more have glasses, and pens are
            of many widths.

    Raises:
        ValueError: there is no such split, rendering or variety, or a number is out of its limits.
    """

    split: str = "train"
    size: int = 64
    condition: ConditionExtractor | None = None
    styles: int = 6000
    geometries: int = 4
    rendering: str = "painted"
    variety: str = "narrow"

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {self.split!r}")
        if self.rendering not in RENDERINGS:
            raise ValueError(f"rendering must be one of {', '.join(RENDERINGS)}, got {self.rendering!r}")
        if self.variety not in VARIETIES:
            raise ValueError(f"variety must be one of {', '.join(VARIETIES)}, got {self.variety!r}")
        int_range(*SIZES, size=self.size)
        int_range(1, SPLIT_LENGTH // 64, styles=self.styles)
        int_range(2, 64, geometries=self.geometries)

    @property
    def trained_on(self) -> str:
        """What models that were trained on them say."""
        face = "that fills a square" if self.variety == "narrow" else "from half to the whole of a square"
        return f"computer-drawn portraits, each with one upright face {face}"

    def cached(self, folder: Path, most: int | None = None) -> CachedPortraits:
        """The same styles, rendered once and kept in a folder.

        Args:
            folder: where they are kept.
            most: how many styles, in two geometries each; by default all that are trained on.

        Raises:
            CheckpointError: what is there is damaged, or has other portraits; or the disk refuses.
        """
        if most is None:
            return CachedPortraits.open(folder, self, self.styles, self.geometries)
        return CachedPortraits.open(folder, self, min(most, self.styles), 2)

    def __len__(self) -> int:
        return SPLIT_LENGTH // 2

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(f"pairs of portraits are numbered 0 to {len(self) - 1}, got {index}")
        return draw_pairs(self.split, [index], self.size, rendering=self.rendering, variety=self.variety).pair(
            self.condition
        )
