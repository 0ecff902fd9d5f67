"""Drawings of one series: seen all before the first is finished, so that what is the same has one colour in all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import Finisher
from midms.core.types import Noise
from midms.pipeline.inputs import Inputs, stack
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.translate import allowed_exemplars


@runtime_checkable
class SeriesFinisher(Protocol):
    """A finisher that decides of all drawings of a series together: it sees each, then gives a finisher for them."""

    def see(
        self,
        coloured: Float[Tensor, "1 3 y x"],
        drawing: Float[Tensor, "1 3 Y X"],
        exemplars: Sequence[Float[Tensor, "1 3 _ _"]],
        features: Float[Tensor, "1 d _ _"],
    ) -> Any:
        """What it keeps of a drawing, which is little; `features` are the drawing's, over the same area."""

    def in_series(self, seen: Sequence[Any]) -> Finisher:
        """A finisher for these drawings, given in the order of the series."""


@torch.no_grad()
def in_series(pipe: Pipeline, drawings: Iterable[tuple[Inputs, Noise]]) -> Pipeline:
    """The method for the drawings of one series, whose finisher decides of them together.

    It translates each as the method itself does, other drawings too. A finisher that decides of each by itself, or
    none, leaves the method as it is, and nothing is read.

    Args:
        pipe: a composed method.
        drawings: what `midms.pipeline.inputs.read_inputs` gives of each, in the order of the series, and its noise;
            one at a time is held.
    """
    finisher = pipe.finisher
    if not isinstance(finisher, SeriesFinisher):
        return pipe
    seen = []
    for pair, noise in drawings:
        try:
            coloured, features = _coloured(pipe, pair, noise)
        except Exception:  # its translation raises it again
            continue
        seen.append(finisher.see(coloured, pair.condition.picture, allowed_exemplars(pair), features))
    return pipe.replace(finisher=finisher.in_series(seen))


def _coloured(pipe: Pipeline, pair: Inputs, noise: Noise) -> tuple[Float[Tensor, "1 3 y x"], Float[Tensor, "1 d _ _"]]:
    """The result before it is finished, and the drawing's features over the same area."""
    given, frame = stack([pair], pipe), pair.condition.frame
    more = given.maps, noise, given.masks, None, given.exemplar_masks
    *_, last = pipe.trajectory(given.condition, given.pictures, *more)
    coloured = frame.crop(pipe.autoencoder.decode(last.step.x0))
    return coloured, frame.crop(pipe.features.condition(given.condition).initial)
