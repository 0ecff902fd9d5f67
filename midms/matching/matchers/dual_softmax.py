"""Softmax over both sides at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import divisor
from midms.core.normalize import l2_normalize
from midms.core.protocols import Match
from midms.matching.kernels import Backend, Precision, logsumexp_both
from midms.matching.matches.factored import FactoredMatch, tokens


@dataclass(frozen=True)
class DualSoftmax:
    """P = softmax over the exemplar times softmax over the condition, of correlation / temperature.

        P_ij = softmax_j(<q_i, k_j> / temperature) softmax_i(<q_i, k_j> / temperature)

    (LoFTR, Sun et al. 2021, arXiv:2104.00680, sec. 3.3). An entry is large only where each is the other's best, so what
    two cells want goes to the one that wants it more. One pass finds both normalisers.

    To choose over `Correlation` where cells correspond one to one and the exemplar has look-alikes; over
    `OptimalTransport` where parts are hidden, since nothing has to be used. A row without a partner is still an
    expectation: ask a confidence.

    Args:
        temperature: divides the correlation, 0.1 in LoFTR; the larger, the softer.
        backend: which implementation computes it, see `kernels.attend`.
        precision: of the products of features, see `kernels.attend`.

    Raises:
        ValueError: the temperature is not positive.
    """

    gives: ClassVar[type[Match]] = FactoredMatch
    temperature: float = 0.1
    backend: Backend = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        divisor(temperature=self.temperature)

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> FactoredMatch:
        """Match the condition's features to the exemplar's; both are brought to unit length."""
        query, key, scale = l2_normalize(query), l2_normalize(key), 1 / self.temperature
        row, column = logsumexp_both(
            tokens(query), tokens(key), None, None, scale, backend=self.backend, precision=self.precision
        )
        return FactoredMatch(
            query,
            key,
            2 * scale,
            row_bias=-row.unflatten(1, query.shape[-2:]),
            col_bias=-column.unflatten(1, key.shape[-2:]),
            backend=self.backend,
            precision=self.precision,
        )
