"""Correlation of patches, as in CoCosNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import divisor, int_range, number
from midms.core.normalize import l2_normalize
from midms.matching.kernels import Backend
from midms.matching.matches.dense import DenseMatch, cosines
from midms.matching.matches.factored import FactoredMatch

_DENSE_LIMIT = 1 << 26
"""Entries that winner-take-all scaling may write out: 64 x 64 cells twice over take a quarter of it."""


@dataclass(frozen=True)
class CoCosNet:
    """P = softmax over the exemplar of the correlation of 3 x 3 patches of features / temperature.

        q_i = c_i / |c_i|,   c_i = patch_i - mean over its entries;   P_ij = softmax_j(w_ij <q_i, k_j> / temperature)

    (Zhang et al. 2020, arXiv:2004.05571, sec. 3.1; patches, centring and scaling as in the released
    `correspondence.py`, where `match_kernel` is 3.) Outside the grid features are 0. Winner-take-all scaling has
    w_ij = 1 for the best j of a row and `losers` for the others; the transpose is the softmax of the same numbers over
    the condition.

    To choose over `Correlation` where single cells look alike and their neighbourhoods do not, and nothing is rotated
    or mirrored.

    Args:
        temperature: divides the correlation, 0.01 as released; the larger, the softer.
        patch: cells a side, odd; 1 for none.
        losers: factor of all but the best correlation of a row. The released network leaves them at 1 and has 1e-4 as
            the other choice. Other than 1 it needs the whole matrix, so grids up to about 64 x 64.
        backend: which implementation computes it, see `kernels.attend`; not with other losers than 1.

    Raises:
        ValueError: an argument is out of its range.
    """

    spatial: ClassVar[bool] = True
    temperature: float = 0.01
    patch: int = 3
    losers: float = 1.0
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        divisor(temperature=self.temperature)
        int_range(1, 31, patch=self.patch)
        if self.patch % 2 == 0:
            raise ValueError(f"patch must be odd and positive, got {self.patch}")
        number(0, 1, losers=self.losers)

    @property
    def gives(self) -> type[FactoredMatch] | type[DenseMatch]:
        """The kind of its matches."""
        return FactoredMatch if self.losers == 1 else DenseMatch

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> FactoredMatch | DenseMatch:
        """Match the condition's features to the exemplar's.

        Raises:
            ValueError: losers are scaled, and the grids are too large for it.
        """
        query, key = self._patches(query), self._patches(key)
        if self.losers == 1:
            return FactoredMatch(query, key, 1 / self.temperature, backend=self.backend)
        correlation = cosines(query, key, _DENSE_LIMIT)
        best = correlation == correlation.amax(-1, keepdim=True)
        return DenseMatch(query, key, torch.where(best, correlation, self.losers * correlation) / self.temperature)

    def _patches(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e h w"]:
        around = F.unfold(x, self.patch, padding=self.patch // 2)
        return l2_normalize((around - around.mean(1, keepdim=True)).unflatten(2, x.shape[-2:]))
