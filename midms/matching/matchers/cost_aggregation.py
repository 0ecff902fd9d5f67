"""A correlation of four dimensions, refined by what its neighbours say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import divisor, int_range
from midms.core.normalize import l2_normalize
from midms.core.precision import without_autocast
from midms.core.protocols import Match
from midms.matching.matches.dense import DenseMatch, cosines

_DENSE_LIMIT = 1 << 25
"""Entries of the correlation: 64 x 64 cells twice over are half of it."""


@dataclass(frozen=True)
class CostAggregation:
    """P = softmax over the exemplar of M(A(M(c))) / temperature, of the correlation c = max(<q_i, k_j>, 0).

        M(c)_ij = c_ij (c_ij / max_l c_il) (c_ij / max_l c_lj)
        A(c)_ij = the mean of c_{i + s, j + s + t} over steps |s| <= radius and slacks |t| <= slack along each side,
                  small slacks weighing more: slack + 1 - |t|

    M keeps what is mutually best, A lets neighbours that move alike speak for each other, up to a slack for stretching
    and turning. The order is that of NCNet (Rocco et al. 2018, arXiv:1810.10510, sec. 3.2 and 3.3), whose A
    is a trained convolution in four dimensions; without weights it is cost-volume filtering (Hosni et al. 2013). A is
    made symmetric as there, A(c) + A(c^T)^T, and what lies outside a grid does not count.

    To choose where features are ambiguous and the motion is smooth. Writes the whole matrix several times: grids up to
    64 x 64.

    Args:
        temperature: divides the refined correlation, which is in [0, 1]; the larger, the softer.
        radius: of the neighbourhood, in cells.
        slack: by how much a neighbour's displacement may differ, in cells.

    Raises:
        ValueError: an argument is out of its range.
    """

    gives: ClassVar[type[Match]] = DenseMatch
    spatial: ClassVar[bool] = True
    temperature: float = 0.02
    radius: int = 1
    slack: int = 1

    def __post_init__(self) -> None:
        divisor(temperature=self.temperature)
        int_range(0, 16, radius=self.radius, slack=self.slack)

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> DenseMatch:
        """Match the condition's features to the exemplar's; both are brought to unit length.

        Raises:
            ValueError: the grids are too large.
        """
        query, key = l2_normalize(query), l2_normalize(key)
        correlation = mutual(cosines(query, key, _DENSE_LIMIT).clamp(min=0))
        volume = correlation.unflatten(2, key.shape[-2:]).unflatten(1, query.shape[-2:])
        consensus = self._aggregate(volume) + self._aggregate(volume.permute(0, 3, 4, 1, 2)).permute(0, 3, 4, 1, 2)
        return DenseMatch(query, key, mutual(consensus.flatten(3).flatten(1, 2) / 2) / self.temperature)

    @without_autocast
    def _aggregate(self, volume: Float[Tensor, "b h w H W"]) -> Float[Tensor, "b h w H W"]:
        b, h, w, rows, columns = volume.shape
        counted = torch.cat([volume, torch.ones_like(volume[:1])])
        side = self.slack + 1.0 - torch.arange(-self.slack, self.slack + 1, device=volume.device).abs().to(volume)
        slackened = F.conv2d(
            counted.reshape(-1, 1, rows, columns), torch.outer(side, side)[None, None], padding=self.slack
        )
        padded, total = F.pad(slackened.view_as(counted), [self.radius] * 8), torch.zeros_like(counted)
        for y in range(2 * self.radius + 1):
            for x in range(2 * self.radius + 1):
                total = total + padded[:, y : y + h, x : x + w, y : y + rows, x : x + columns]
        return total[:b] / total[b:]


def mutual(correlation: Float[Tensor, "b n m"]) -> Float[Tensor, "b n m"]:
    """Soft mutual nearest neighbours: unchanged where best of its row and of its column, smaller elsewhere."""
    tiny = torch.finfo(correlation.dtype).tiny
    of_row = correlation / correlation.amax(2, keepdim=True).clamp(min=tiny)
    of_column = correlation / correlation.amax(1, keepdim=True).clamp(min=tiny)
    return correlation * of_row * of_column
