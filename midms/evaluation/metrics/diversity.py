"""How unlike each other the results of one condition are."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from midms.core.metrics import Compared
from midms.evaluation.metrics.perceptual import HED, PerceptualDistance


class Diversity:
    """Perceptual distance of each result to the next of the same condition, the last to the first (Zhu et al. 2017).

    "Toward Multimodal Image-to-Image Translation", arXiv:1711.11586, sec. 5: mean distance of pairs of results.

    To choose where several results of one condition should differ.

    Args:
        vgg: as of `PerceptualDistance`.

    Raises:
        TrunkError: there are no such weights.
    """

    needs, ideal = ("result", "other"), math.inf

    def __init__(self, vgg: str = HED) -> None:
        self.distance = PerceptualDistance(vgg)

    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """One figure."""
        (values,) = self.distance(Compared(batch.keys, batch.result, answer=batch.other)).values()
        return {f"diversity ({self.distance.name})": values}
