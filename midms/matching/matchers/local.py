"""A window around where a cell is expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.flow import sample
from midms.core.limits import divisor, int_range
from midms.core.normalize import l2_normalize
from midms.core.protocols import Match, Matcher
from midms.core.types import cells
from midms.matching.matchers.correlation import Correlation
from midms.matching.matches.sparse import SparseMatch, link


@dataclass(frozen=True)
class Local:
    """P = softmax of correlation / temperature over a window around a prior flow.

        P_ij = softmax_j <q_i, k_j> / temperature   over |j - round(prior_i)| <= radius along each side

    Coarse to fine, as in GLU-Net (Truong et al. 2020, arXiv:1912.05524) and RAFT's lookup (Teed and Deng 2020,
    arXiv:2003.12039): the prior is a global match of features averaged over blocks, or a flow that is known
    from elsewhere. Gradients go to the features, not to the prior.

    To choose for large grids with smooth motion, n (2 radius + 1)^2 products instead of n^2, and where distant
    look-alikes must not be taken.

    Args:
        radius: of the window, in cells of the exemplar.
        temperature: divides the correlation; the larger, the softer.
        prior: a matcher for the averaged features, of which `midms.create` and `build` take the name or a `Spec`; or
            [b 2 h w], the (x, y) in the exemplar, in its cells, where each cell of the condition is expected.
        coarse: cells a side that are averaged for the prior's match.

    Raises:
        ValueError: an argument is out of its range.
    """

    gives: ClassVar[type[Match]] = SparseMatch
    spatial: ClassVar[bool] = True
    nested: ClassVar[dict[str, str]] = {"prior": "matcher"}
    radius: int = 4
    temperature: float = 0.01
    prior: Matcher | Tensor = Correlation()  # noqa: RUF009 (it is frozen)
    coarse: int = 2

    def __post_init__(self) -> None:
        divisor(temperature=self.temperature)
        int_range(0, 64, radius=self.radius)
        int_range(1, 64, coarse=self.coarse)

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> SparseMatch:
        """Match the condition's features to the exemplar's; both are brought to unit length.

        Raises:
            ValueError: the prior is a flow of another grid.
        """
        query, key = l2_normalize(query), l2_normalize(key)
        height, width = key.shape[-2:]
        x, y = self._expected(query, key).round().long().unbind(1)
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
        steps = torch.arange(-self.radius, self.radius + 1, device=key.device)
        xs, ys = x.flatten(1)[..., None, None] + steps, y.flatten(1)[..., None, None] + steps[:, None]
        inside = (xs >= 0) & (xs < width) & (ys >= 0) & (ys < height)
        return link(query, key, 1 / self.temperature, (ys * width + xs).where(inside, -1).flatten(2))

    @torch.no_grad()
    def _expected(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> Float[Tensor, "b 2 h w"]:
        """(x, y) in the exemplar, in its cells."""
        if isinstance(self.prior, Tensor):
            wanted = (len(query), 2, *query.shape[-2:])
            if self.prior.shape != wanted:
                raise ValueError(f"prior is {tuple(self.prior.shape)}, expected {wanted}, an (x, y) for each cell")
            return self.prior.to(query.device)
        small, large = (_averaged(x, self.coarse) for x in (query, key))
        match = self.prior(small, large)
        place = match.apply(_cells(large).expand(len(large), -1, -1, -1))
        here = (_cells(query).to(large.dtype) + 0.5) / self.coarse - 0.5
        return (sample(place, here.expand(len(large), -1, -1, -1)) + 0.5) * self.coarse - 0.5


def _cells(x: Float[Tensor, "b d h w"]) -> Float[Tensor, "1 2 h w"]:
    return cells(x.shape[-2], x.shape[-1], x)


def _averaged(x: Float[Tensor, "b d h w"], block: int) -> Float[Tensor, "b d h2 w2"]:
    """The mean feature of each block, in float32 or better; at the border of what there is."""
    precise = x.to(torch.promote_types(x.dtype, torch.float32))
    return F.avg_pool2d(precise, block, ceil_mode=True, count_include_pad=False)
