"""Softmax over cosine correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import divisor, number
from midms.core.normalize import l2_normalize
from midms.core.protocols import Match
from midms.matching.kernels import Backend, Precision
from midms.matching.matches.factored import FactoredMatch


@dataclass(frozen=True)
class Correlation:
    """P = softmax over the exemplar of correlation / temperature.

    MIDMs (Seo et al. 2023, arXiv:2209.11047, sec. 3.3); first in CoCosNet (Zhang et al. 2020, arXiv:2004.05571, eq. 3).
    To choose where every cell of the condition may take from wherever it likes, several from one source. The transpose
    is the softmax of the same correlation over the condition, as in their cycle checks.

    Args:
        temperature: divides the correlation. MIDMs 0.005, CoCosNet 0.01; the larger, the softer.
        floor: the released MIDMs raises correlations to 0; None leaves them.
        backend: which implementation computes it, see `kernels.attend`.
        precision: of the products of features, see `kernels.attend`.

    Raises:
        ValueError: the temperature is not positive.
    """

    gives: ClassVar[type[Match]] = FactoredMatch
    temperature: float = 0.005
    floor: float | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        divisor(temperature=self.temperature)
        if self.floor is not None:
            number(-1, 1, floor=self.floor)

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> FactoredMatch:
        """Match the condition's features to the exemplar's; both are brought to unit length."""
        q, k = l2_normalize(query), l2_normalize(key)
        return FactoredMatch(q, k, 1 / self.temperature, self.floor, backend=self.backend, precision=self.precision)
