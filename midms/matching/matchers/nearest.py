"""The most similar cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from midms.core.normalize import l2_normalize
from midms.core.protocols import Match
from midms.matching.kernels import Backend, top_k
from midms.matching.matches.factored import tokens
from midms.matching.matches.sparse import SparseMatch, link


@dataclass(frozen=True)
class Nearest:
    """Each cell takes from the one cell that is most like it: P_ij = 1 where j = argmax_j <q_i, k_j>, else 0.

    The limit of `Correlation` at temperature 0, in both directions: the transpose is argmax_i, so that a
    forward-backward check compares the two searches, as in the nearest-neighbour field of PatchMatch (Barnes et al.
    2009, sec. 3). Exact, by a streaming search. Values have gradients, features only through the similarity.

    To choose where textures must not be averaged, or as a baseline; to train, a soft matcher.

    Args:
        backend: which implementation searches, see `kernels.attend`.
    """

    gives: ClassVar[type[Match]] = SparseMatch
    answers: ClassVar[frozenset[str]] = frozenset({"argmax", "top"})
    differentiable: ClassVar[bool] = False
    backend: Backend = "auto"

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> SparseMatch:
        """Match the condition's features to the exemplar's; both are brought to unit length."""
        query, key = l2_normalize(query), l2_normalize(key)
        there = top_k(tokens(query), tokens(key), 1, self.backend).indices
        back = top_k(tokens(key), tokens(query), 1, self.backend).indices
        return link(query, key, math.inf, there, back)
