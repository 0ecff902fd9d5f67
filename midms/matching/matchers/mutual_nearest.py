"""Cells that are each other's most similar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from midms.core.normalize import l2_normalize
from midms.core.protocols import Match
from midms.matching.kernels import Backend, mutual_nearest
from midms.matching.matches.factored import tokens
from midms.matching.matches.sparse import SparseMatch, link


@dataclass(frozen=True)
class MutualNearest:
    """P_ij = 1 where j = argmax_j <q_i, k_j> and i = argmax_i <q_i, k_j>; other cells are coupled to all alike.

    The filter of nearly every pipeline of sparse matches (kornia's `match_mnn`; Rocco et al. 2018, arXiv:1810.10510,
    sec. 3.3). A cell without a partner gets the mean of the exemplar: its colour, and nobody's texture. Exact, by a
    streaming search. Values have gradients, features only through the similarity.

    To choose with a confidence that keeps what has a partner (`mutual`), where a wrong texture is worse than none.

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
        partners = mutual_nearest(tokens(query), tokens(key), self.backend).indices
        return link(query, key, math.inf, partners[..., None])
