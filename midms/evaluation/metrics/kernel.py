"""Kernel distance of two sets of features: KID, where they are Inception's."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import int_range
from midms.core.metrics import Compared, MetricError
from midms.evaluation.metrics.extractors import EXTRACTOR, Extractor, find_extractor
from midms.evaluation.metrics.kept import Kept

_BLOCK = 1000
"""Rows that are compared at once."""
MOST = 10_000
"""Pictures whose vectors are kept of each set: 160 MB of 2048 numbers."""


def squared_mmd(one: Float[Tensor, "n d"], other: Float[Tensor, "m d"]) -> float:
    """Squared maximum mean discrepancy, unbiased, of the kernel (x.y / d + 1)^3 (Gretton et al. 2012, eq. 3)."""

    def total(a: Tensor, b: Tensor) -> float:
        return sum(float(((rows @ b.T) / b.shape[1] + 1).pow(3).sum()) for rows in a.split(_BLOCK))

    def within(a: Tensor) -> float:
        own = float((a.square().sum(1) / a.shape[1] + 1).pow(3).sum())
        return (total(a, a) - own) / (len(a) * (len(a) - 1))

    return within(one) + within(other) - 2 * total(one, other) / (len(one) * len(other))


class KernelDistance:
    """Squared MMD of features with a polynomial kernel (Bińkowski et al. 2018, arXiv:1801.01401), unbiased.

    It is called KID where the extractor is Inception, and nowhere else. It is of all pictures at once, where others
    take means of random subsets; their expectation is the same. Of the same pictures it is a little below zero.

    To choose for sets of some hundreds of pictures, where a Fréchet distance is biased.

    Args:
        extractor: see `extractors.find_extractor`.
        pictures: how many of each set are kept, chosen by their names.

    Raises:
        ExtractorError: there is no such extractor, or its weights cannot be had.
        OutOfLimits: pictures is no such number.
    """

    needs, ideal = ("result", "real"), 0.0

    def __init__(self, extractor: str | Extractor = EXTRACTOR, pictures: int = MOST) -> None:
        int_range(2, 10**6, pictures=pictures)
        self.extractor = find_extractor(extractor)
        self.name = f"{'KID' if self.extractor.inception else 'kernel-distance'} ({self.extractor.name})"
        self._kept = {name: Kept(pictures) for name in self.needs}

    def update(self, batch: Compared) -> None:
        """Keep features."""
        for name, kept in self._kept.items():
            if (seen := getattr(batch, name)) is not None:
                kept.add(batch.keys, self.extractor(seen))

    def compute(self) -> dict[str, float]:
        """One figure."""
        check_enough(self._kept, 2)
        return {self.name: squared_mmd(*(kept.rows() for kept in self._kept.values()))}


def check_enough(kept: dict[str, Kept], least: int) -> None:
    """Find out whether so many pictures came of each set.

    Raises:
        MetricError: fewer did.
    """
    if (fewest := min(map(len, kept.values()))) < least:
        raise MetricError(f"expected at least {least} pictures on each side, got {fewest}")
