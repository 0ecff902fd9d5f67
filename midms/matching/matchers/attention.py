"""Scaled dot-product attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import divisor
from midms.core.normalize import l2_normalize
from midms.core.protocols import Match
from midms.matching.kernels import Backend, Precision
from midms.matching.matches.factored import FactoredMatch


@dataclass(frozen=True)
class AttentionMatch(FactoredMatch):
    """A factored match of features that are no unit vectors."""

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Expected cosine similarity of each row with what it is matched to, in float32 or better."""
        precise = torch.promote_types(self.query.dtype, torch.float32)
        query, key = (l2_normalize(x.to(precise)) for x in (self.query, self.key))
        return (query * self.apply(key)).sum(1, keepdim=True)


@dataclass(frozen=True)
class DotProductAttention:
    """P = softmax over the exemplar of <query, key> / temperature (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

    Features keep their length: it is how certain a layer's queries and keys are. To choose inside attention layers,
    where this is the layer's own match (`midms.diffusion.injections`); of unit vectors it tells little apart. Features
    that are not finite are like nothing.

    Args:
        temperature: divides the inner product; None for the root of the number of features.
        backend: which implementation computes it, see `kernels.attend`.
        precision: of the products of features, see `kernels.attend`.

    Raises:
        ValueError: the temperature is not positive.
    """

    gives: ClassVar[type[Match]] = AttentionMatch
    temperature: float | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if self.temperature is not None:
            divisor(temperature=self.temperature)

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> AttentionMatch:
        """Match the condition's features to the exemplar's, both as they are."""
        scale = query.shape[1] ** -0.5 if self.temperature is None else 1 / self.temperature
        q, k = (x.where(x.isfinite().all(1, keepdim=True), 0) for x in (query, key))
        return AttentionMatch(q, k, scale, backend=self.backend, precision=self.precision)
