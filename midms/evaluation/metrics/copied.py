"""How much of the exemplar's structure is in the result, where the condition has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from midms.conditions.strokes import edges, max_filter
from midms.core.limits import number
from midms.core.metrics import Compared
from midms.images import resize

_REACH = 3 / 64
"""How far from an edge of the condition, as a share of the longer side, an edge may still be its own."""
_LEAST = 0.02
"""Share of the picture that must be left, and deviation of an exemplar's edges below which there is none to copy."""


@dataclass(frozen=True)
class CopiedContent:
    """Correlation of a result's edges with its exemplar's at the same places, away from every edge of the condition.

    Colour edges, whose strength is in [0, 1], as the condition `edges` has them; Pearson's correlation over the pixels
    that are farther from an edge of the condition, or of the labels, than 3/64 of the longer side. 1 for the exemplar
    itself, about 0 for a result whose texture lies elsewhere, 0 for one without edges; NaN where the exemplar has no
    edges there. Some structure belongs to the style, such as a pattern behind a person: where answers are known, their
    own figure says how much. It sees copies in place alone, and takes no network (a measure of this package, 2026).

    To choose for finding out whether a method cheats by leaving the exemplar where it is.

    Attributes:
        threshold: strength of the condition's edges that count.

    Raises:
        OutOfLimits: the threshold is not in [0, 1].
    """

    threshold: float = 0.35
    needs: ClassVar = ("result", "exemplar", "condition")
    uses: ClassVar = ("labels", "answer")
    ideal: ClassVar = 0.0

    def __post_init__(self) -> None:
        number(0, 1, threshold=self.threshold)

    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """One figure."""
        assert batch.result is not None and batch.exemplar is not None and batch.condition is not None
        size = batch.result.shape[-2], batch.result.shape[-1]
        made, shown, drawn = (edges(resize(x, size)) for x in (batch.result, batch.exemplar, batch.condition))
        borders = drawn > self.threshold
        borders = borders if batch.labels is None else borders | _borders(batch.labels, size)
        away = max_filter(borders.float(), max(1, round(_REACH * max(size)))) == 0
        found = {"copied content": _correlation(made, shown, away)}
        if batch.answer is not None:
            found["copied content of answers"] = _correlation(edges(batch.answer), shown, away)
        return found


def _borders(labels: Int[Tensor, "b _ _"], size: tuple[int, int]) -> Bool[Tensor, "b 1 y x"]:
    """Where the label of a pixel is another than that of its neighbour to the right or below."""
    nearest = F.interpolate(labels[:, None].double(), size, mode="nearest-exact")
    padded = F.pad(nearest, (0, 1, 0, 1), mode="replicate")
    return (padded[..., 1:, :-1] != nearest) | (padded[..., :-1, 1:] != nearest)


def _correlation(
    made: Float[Tensor, "b 1 y x"], shown: Float[Tensor, "b 1 y x"], where: Bool[Tensor, "b 1 y x"]
) -> Float[Tensor, " b"]:
    found = []
    for one, other, mask in zip(made, shown, where, strict=True):
        a, b = one[mask].double(), other[mask].double()
        if mask.double().mean() < _LEAST or float(b.std(correction=0)) < _LEAST:
            found.append(one.new_tensor(torch.nan))
            continue
        a, b = a - a.mean(), b - b.mean()
        found.append(((a * b).mean() / (a.std(correction=0) * b.std(correction=0)).clamp(min=1e-9)).to(one))
    return torch.stack(found)
