"""What a visitor may choose, with a line on each; and the pipeline that is made of it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from midms.compose.catalog import available, registry
from midms.compose.presets import PRESETS
from midms.core.errors import MidmsError
from midms.loop import Moment
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.pretrained import load

EXCHANGED = ("condition", "matcher", "confidence", "sampler", "finisher")
"""Slots whose parts need no weights of a training, for the most part."""
AS_IT_IS, NO_PART = "as the preset has it", "none"
_PIPELINES = 4
"""That are kept in memory."""


class Cancelled(MidmsError):
    """A visitor wants the translation no more."""


@dataclass(frozen=True)
class Choices:
    """What a visitor chose.

    Attributes:
        preset: a name, or a folder of weights.
        parts: slot to the name of its part, for those that are not as the preset has them.
        style: from structure to style.
        seed: of the noise.
    """

    preset: str
    parts: tuple[tuple[str, str], ...] = ()
    style: float = 0.5
    seed: int = 0


def preset_menu(own: str) -> dict[str, str]:
    """Each preset whose weights are here, with a line on it; first that which the app was started with."""
    found = {name: recipe.purpose for name, recipe in PRESETS.items() if recipe.shipped}
    return {own: ""} | found


def part_menu(slot: str) -> dict[str, str]:
    """Each part of a slot, with a line on it; first that of the preset."""
    rows = registry(slot)
    lines = {name: rows.summary(name) for name in available(slot)}
    return {AS_IT_IS: ""} | ({NO_PART: ""} if slot == "finisher" else {}) | lines


def choices_of(preset: str, names: Mapping[str, str], style: float, seed: float | None) -> Choices:
    """What menus say."""
    exchanged = tuple((slot, name) for slot, name in names.items() if name != AS_IT_IS)
    return Choices(preset, exchanged, style, int(seed or 0))


@functools.lru_cache(_PIPELINES)
def pipeline_of(preset: str, exchanged: tuple[tuple[str, str], ...]) -> tuple[Pipeline, tuple[str, ...]]:
    """A pipeline, and what a person should know of it.

    Raises:
        BuildError: parts do not fit; all that is wrong is said.
    """
    changes: dict[str, Any] = {slot: None if name == NO_PART else name for slot, name in exchanged}
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        pipe = load(preset, **changes)
    return pipe, tuple(dict.fromkeys(str(one.message) for one in notes if one.category is UserWarning))


class Watched:
    """A pipeline that says at each level how far it is, and is all else that the pipeline is.

    Args:
        pipe: the pipeline.
        watch: called with each moment of the loop; what it raises ends the translation.
    """

    def __init__(self, pipe: Pipeline, watch: Callable[[Moment], None]) -> None:
        self._pipe, self._watch = pipe, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def trajectory(self, *given: Any) -> Iterator[Moment]:
        """The moments of the loop, watched."""
        for moment in self._pipe.trajectory(*given):
            self._watch(moment)
            yield moment
