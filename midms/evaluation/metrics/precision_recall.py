"""Precision and recall of a set of results."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import int_range
from midms.core.metrics import Compared
from midms.evaluation.metrics.extractors import EXTRACTOR, Extractor, find_extractor
from midms.evaluation.metrics.kept import Kept
from midms.evaluation.metrics.kernel import MOST, check_enough

_BLOCK = 1000
"""Rows that are compared at once."""


def share_within(points: Float[Tensor, "n d"], others: Float[Tensor, "m d"], neighbours: int) -> float:
    """The share of points that lie in a ball around one of the others, which reaches to its k-th neighbour among them.

    Kynkäänniemi et al. 2019, eq. 1 and 2.
    """
    reach = torch.cat(
        [torch.cdist(rows, others).kthvalue(neighbours + 1, dim=1).values for rows in others.split(_BLOCK)]
    )  # the nearest is itself
    inside = [(torch.cdist(rows, others) <= reach).any(1) for rows in points.split(_BLOCK)]
    return float(torch.cat(inside).double().mean())


class PrecisionRecall:
    """How many results lie among the real pictures, and how many of these among the results.

    Kynkäänniemi et al. 2019, arXiv:1904.06991: neighbourhoods of features to their third neighbour.

    To choose for telling results that look wrong from results that lack variety.

    Args:
        extractor: see `extractors.find_extractor`.
        neighbours: k.
        pictures: how many of each set are kept, chosen by their names.

    Raises:
        ExtractorError: there is no such extractor, or its weights cannot be had.
        OutOfLimits: neighbours or pictures is no such number.
    """

    needs, ideal = ("result", "real"), 1.0

    def __init__(self, extractor: str | Extractor = EXTRACTOR, neighbours: int = 3, pictures: int = MOST) -> None:
        int_range(1, 1000, neighbours=neighbours)
        int_range(2, 10**6, pictures=pictures)
        self.extractor, self.neighbours = find_extractor(extractor), neighbours
        self._kept = {name: Kept(pictures) for name in self.needs}

    def update(self, batch: Compared) -> None:
        """Keep features."""
        for name, kept in self._kept.items():
            if (seen := getattr(batch, name)) is not None:
                kept.add(batch.keys, self.extractor(seen))

    def compute(self) -> dict[str, float]:
        """Two figures."""
        check_enough(self._kept, self.neighbours + 1)
        result, real = (kept.rows() for kept in self._kept.values())
        return {
            f"precision ({self.extractor.name})": share_within(result, real, self.neighbours),
            f"recall ({self.extractor.name})": share_within(real, result, self.neighbours),
        }
