"""Fréchet distance of two sets of features: FID, where they are Inception's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.metrics import Compared, MetricError
from midms.evaluation.metrics.extractors import EXTRACTOR, Extractor, find_extractor


@dataclass
class Moments:
    """Mean and covariance of rows that come in pieces, in double precision.

    Attributes:
        count: rows that came.
        total: their sum.
        outer: the sum of their outer products.
    """

    count: int = 0
    total: Float[Tensor, " d"] | float = 0.0
    outer: Float[Tensor, "d d"] | float = 0.0

    def add(self, rows: Float[Tensor, "n d"]) -> None:
        """Some more rows."""
        self.count, self.total = self.count + len(rows), self.total + rows.double().sum(0)
        self.outer = self.outer + rows.double().T @ rows.double()

    def gaussian(self) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
        """Mean, and covariance as of a sample.

        Raises:
            MetricError: there were fewer than two.
        """
        if self.count < 2 or not isinstance(self.total, Tensor):
            raise MetricError(f"expected at least 2 pictures on each side, got {self.count}")
        mean = self.total / self.count
        return mean, (self.outer - self.count * torch.outer(mean, mean)) / (self.count - 1)


def frechet(
    mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"], mean2: Tensor, covariance2: Float[Tensor, "d d"]
) -> float:
    """Squared 2-Wasserstein distance of two Gaussians (Dowson and Landau 1982).

    |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1^(1/2) C2 C1^(1/2))^(1/2), by eigenvalues of symmetric matrices, so that
    covariances of few pictures, which have no inverse, do no harm.
    """
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariance2 @ root).clamp(min=0).sqrt().sum()
    return float((mean - mean2).square().sum() + covariance.trace() + covariance2.trace() - 2 * cross)


class FrechetDistance:
    """Fréchet distance of Gaussians fitted to the features of two sets (Heusel et al. 2017, arXiv:1706.08500).

    It is called FID where the extractor is Inception, and nowhere else. It is smaller the more pictures there are, for
    the same distributions: compare figures of as many pictures alone.

    To choose for comparison with papers, with Inception's weights and as many pictures as they had.

    Args:
        extractor: see `extractors.find_extractor`.

    Raises:
        ExtractorError: there is no such extractor, or its weights cannot be had.
    """

    needs, ideal = ("result", "real"), 0.0

    def __init__(self, extractor: str | Extractor = EXTRACTOR) -> None:
        self.extractor = find_extractor(extractor)
        self.name = f"{'FID' if self.extractor.inception else 'frechet-distance'} ({self.extractor.name})"
        self._moments = {name: Moments() for name in self.needs}

    def update(self, batch: Compared) -> None:
        """Sums of the features."""
        for name, moments in self._moments.items():
            if (pictures := getattr(batch, name)) is not None:
                moments.add(self.extractor(pictures))

    def compute(self) -> dict[str, float]:
        """One figure."""
        result, real = (moments.gaussian() for moments in self._moments.values())
        return {self.name: frechet(*result, *real)}
