"""A series of drawings: all take from the same pictures, and flat areas have the same colours throughout."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from midms.core.errors import MidmsError
from midms.images.finishers.palette import flat_colours
from midms.images.reading import read_image
from midms.pipeline.partners import picture_files
from midms.pipeline.pipeline import Pipeline


class NoPalette(MidmsError, ValueError):
    """A pipeline has no finisher that keeps to a palette."""


def bank(exemplars: Sequence[Path]) -> tuple[Path, ...]:
    """All pictures that a series takes from: files, and those of folders.

    Raises:
        PictureError: a folder has no pictures.
    """
    return tuple(itertools.chain.from_iterable(picture_files(p) if p.is_dir() else [p] for p in exemplars))


def with_palette(pipe: Pipeline, exemplars: Sequence[object]) -> Pipeline:
    """A pipeline whose finisher gives flat areas colours of the exemplars, the same for all of a series.

    Args:
        pipe: with a finisher that has a `palette`, such as `composite`.
        exemplars: pictures, as `midms.images.read_image` takes them.

    Raises:
        NoPalette: its finisher has none.
        PictureError: a picture cannot be read.
    """
    finisher: Any = pipe.finisher
    if not hasattr(finisher, "palette"):
        raise NoPalette("series: needs a finisher with a palette, such as composite")
    colours = flat_colours([read_image(one, "exemplar") for one in exemplars])
    return pipe.replace(finisher=replace(finisher, palette=colours))
