"""The record that every data set gives: what goes into a translation, and what should come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Pair:
    """A batch of pairs of a condition and an exemplar. What a data set does not know is None.

    Attributes:
        condition: condition maps of the targets, in [0, 1].
        exemplar: pictures in [-1, 1] whose style is wanted.
        target: pictures in [-1, 1] that the translation should be.
        exemplar_condition: condition maps of the exemplars, in [0, 1].
        flow: where each pixel of the target lies in the exemplar: (x, y) in [-1, 1] from border to border, y downwards,
            as `grid_sample(align_corners=False)` reads it.
        visible: whether the exemplar shows it; without, flow holds everywhere.
        foreground: which pixels of the target are the subject. Errors there count twice; matches are measured there.
    """

    condition: Float[Tensor, "b k y x"]
    exemplar: Float[Tensor, "b 3 Y X"]
    target: Float[Tensor, "b 3 y x"]
    exemplar_condition: Float[Tensor, "b k Y X"] | None = None
    flow: Float[Tensor, "b 2 y x"] | None = None
    visible: Bool[Tensor, "b 1 y x"] | None = None
    foreground: Bool[Tensor, "b 1 y x"] | None = None

    def to(self, device: torch.device | str) -> Pair:
        """The same pairs on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return replace(self, **moved)


def collate(pairs: Sequence[Pair]) -> Pair:
    """One batch of several, as `DataLoader(dataset, collate_fn=collate)` wants it.

    Raises:
        ValueError: some pairs have a field that others lack.
    """
    joined: dict[str, Tensor | None] = {}
    for name in (field.name for field in fields(Pair)):
        found = [value for pair in pairs if (value := getattr(pair, name)) is not None]
        if found and len(found) < len(pairs):
            raise ValueError(f"{name}: {len(found)} of {len(pairs)} pairs have it, expected all or none")
        joined[name] = torch.cat(found) if found else None
    return Pair(**joined)  # type: ignore[arg-type]
