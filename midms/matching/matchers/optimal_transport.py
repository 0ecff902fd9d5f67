"""Entropic optimal transport between the cells of two pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import LARGE, divisor, int_range, number
from midms.core.normalize import l2_normalize
from midms.core.protocols import Match
from midms.matching.kernels import Backend, Precision, logsumexp
from midms.matching.matches.factored import FactoredMatch, tokens

GREATEST_COST = 2.0
"""Of 1 - cosine."""


@dataclass(frozen=True)
class OptimalTransport:
    """Entropic transport, balanced or not, by Sinkhorn's algorithm in the log domain.

        min_P  sum_ij P_ij (1 - <q_i, k_j>) + epsilon KL(P | a b^T) + reach KL(P 1 | a) + reach KL(P^T 1 | b)

    with marginals a of the condition's cells and b of the exemplar's; without a reach they have to be met, P 1 = a and
    P^T 1 = b (Cuturi 2013, arXiv:1306.0895, alg. 1; log domain: Peyre and Cuturi 2019, arXiv:1803.00567, sec. 4.4;
    unbalanced: Chizat et al. 2018, arXiv:1607.05816; in this field UNITE, Zhan et al. 2021,
    arXiv:2106.10482). A sweep is two streaming logsumexps, so the plan is never formed; gradients go back through all
    sweeps.

    To choose where every part of the exemplar should be used as much as any other; where parts are hidden, or larger in
    one picture than in the other, with a reach, or with marginals from features, or rather `Correlation`.

    Args:
        epsilon: strength of the entropy, in units of cosine similarity; the larger, the softer. UNITE 0.025.
        iterations: sweeps over columns, then rows; the rows' marginal is exact after the last, if it has to be met.
        reach: strength of the marginals, in units of cosine similarity: what is dearer than about twice it is better
            kept than sent, and `mass` tells how much was sent. None for balanced transport.
        marginals: "uniform", or "features" for softmax_i <q_i, mean_j k_j> and likewise of columns, as UNITE weighs
            cells by how much of the other picture is like them.
        annealing: factor below 1 by which epsilon falls from sweep to sweep, from the greatest cost there is, before
            the sweeps at its own value: fewer sweeps for a small epsilon (Schmitzer 2019, arXiv:1610.06519).
            None for none.
        backend: which implementation computes it, see `kernels.attend`.
        precision: of the products of features, see `kernels.attend`.

    Raises:
        ValueError: an argument is out of its range.
    """

    gives: ClassVar[type[Match]] = FactoredMatch
    epsilon: float = 0.05
    iterations: int = 30
    reach: float | None = None
    marginals: str = "uniform"
    annealing: float | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"

    @property
    def answers(self) -> frozenset[str]:
        """What its matches answer; the mass only where the transport is unbalanced."""
        return FactoredMatch.answers if self.reach is None else FactoredMatch.answers | {"mass"}

    def __post_init__(self) -> None:
        divisor(epsilon=self.epsilon)
        int_range(1, 1000, iterations=self.iterations)
        if self.reach is not None:
            number(0, LARGE, above=True, reach=self.reach)
        if self.marginals not in ("uniform", "features"):
            raise ValueError(f"marginals must be 'uniform' or 'features', got {self.marginals!r}")
        if self.annealing is not None:
            number(0, 0.99, above=True, annealing=self.annealing)

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> FactoredMatch:
        """Match the condition's features to the exemplar's; both are brought to unit length."""
        query, key = l2_normalize(query), l2_normalize(key)
        q, k = tokens(query), tokens(key)
        a, b = self._log_marginals(q, k)
        f = torch.zeros_like(a)  # the potentials, in units of cost
        for epsilon in self._epsilons():
            g = self._soft_minimum(k, q, f / epsilon + a, epsilon)
            f = self._soft_minimum(q, k, g / epsilon + b, epsilon)
        due = None if self.reach is None else (a, b)
        return FactoredMatch(
            query,
            key,
            1 / self.epsilon,
            row_bias=((f - 1) / self.epsilon + a).unflatten(1, query.shape[-2:]),
            col_bias=(g / self.epsilon + b).unflatten(1, key.shape[-2:]),
            backend=self.backend,
            precision=self.precision,
            row_marginal=due and due[0].unflatten(1, query.shape[-2:]),
            col_marginal=due and due[1].unflatten(1, key.shape[-2:]),
        )

    def _soft_minimum(
        self, q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], bias: Float[Tensor, "b m"], epsilon: float
    ) -> Float[Tensor, "b n"]:
        """-epsilon log sum_j exp(bias_j - (1 - <q_i, k_j>) / epsilon), damped where a marginal may be missed."""
        damping = 1.0 if self.reach is None else self.reach / (self.reach + epsilon)
        log_sums = logsumexp(q, k, bias, 1 / epsilon, backend=self.backend, precision=self.precision)
        return damping * (1 - epsilon * log_sums)

    def _log_marginals(
        self, q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b m"]]:
        precise = torch.promote_types(q.dtype, torch.float32)
        q, k = q.to(precise), k.to(precise)
        if self.marginals == "uniform":
            return q.new_full(q.shape[:2], -math.log(q.shape[1])), k.new_full(k.shape[:2], -math.log(k.shape[1]))
        rows, columns = (q * k.mean(1, keepdim=True)).sum(2), (k * q.mean(1, keepdim=True)).sum(2)
        return rows.log_softmax(1), columns.log_softmax(1)

    def _epsilons(self) -> list[float]:
        """Of each sweep."""
        falling = []
        if self.annealing is not None:
            count = math.ceil(math.log(self.epsilon / GREATEST_COST) / math.log(self.annealing))
            falling = [GREATEST_COST * self.annealing**step for step in range(count)]
        return [*falling, *[self.epsilon] * self.iterations]


def unbalanced(
    epsilon: float = 0.02,
    iterations: int = 30,
    reach: float = 0.25,
    marginals: str = "uniform",
    annealing: float | None = 0.5,
    backend: Backend = "auto",
    precision: Precision = "auto",
) -> OptimalTransport:
    """`OptimalTransport` with a reach: what has no counterpart is not sent (UNITE, Zhan et al. 2021, arXiv:2106.10482).

    Arguments as there. A name of its own, so that it can be asked for, and compared, by name.

    To choose where parts of one picture are hidden in the other, with the confidence `mass`.
    """
    return OptimalTransport(epsilon, iterations, reach, marginals, annealing, backend, precision)
