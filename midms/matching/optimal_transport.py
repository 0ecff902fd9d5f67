"""Entropic optimal transport between the cells of two pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.matching.kernels import logsumexp
from midms.matching.match import FactoredMatch, tokens, unit


@dataclass(frozen=True)
class OptimalTransport:
    """Balanced entropic transport with uniform marginals, by Sinkhorn's algorithm in the log domain.

        min_P  sum_ij P_ij (1 - <q_i, k_j>) + epsilon sum_ij P_ij (log P_ij - 1)   with   P 1 = 1/n,  P^T 1 = 1/m

    (Cuturi 2013, arXiv:1306.0895, alg. 1; log domain: Peyre and Cuturi 2019, arXiv:1803.00567, sec. 4.4). A sweep is
    two streaming logsumexps, so the plan is never formed; gradients go back through all sweeps.

    To choose where every part of the exemplar should be used as much as any other; where parts are hidden, or larger in
    one picture than in the other, `Correlation` fits better.

    Args:
        epsilon: strength of the entropy, in units of cosine similarity; the larger, the softer.
        iterations: sweeps over columns, then rows; the rows' marginal is exact after the last.
        via: which implementation computes it, see `kernels.couple`.

    Raises:
        ValueError: epsilon is not positive, or there is no iteration.
    """

    epsilon: float = 0.05
    iterations: int = 30
    via: str = "auto"

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise ValueError(f"epsilon must be positive, got {self.epsilon}")
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}")

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> FactoredMatch:
        """Match the condition's features to the exemplar's; both are brought to unit length."""
        query, key, scale = unit(query), unit(key), 1 / self.epsilon
        q, k = tokens(query), tokens(key)
        row = q.new_zeros(q.shape[:2])
        for _ in range(self.iterations):
            column = -math.log(k.shape[1]) - logsumexp(k, q, row, scale, via=self.via)
            row = -math.log(q.shape[1]) - logsumexp(q, k, column, scale, via=self.via)
        return FactoredMatch(
            query,
            key,
            scale,
            row_bias=row.unflatten(1, query.shape[-2:]),
            col_bias=column.unflatten(1, key.shape[-2:]),
            via=self.via,
        )
