"""A few good candidates for each cell, found by asking the neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.limits import divisor, int_range
from midms.core.normalize import l2_normalize
from midms.core.precision import without_autocast
from midms.core.protocols import Match
from midms.matching.kernels import Backend, top_k
from midms.matching.matches.edges import ENTRIES
from midms.matching.matches.factored import tokens
from midms.matching.matches.sparse import SparseMatch, link


@dataclass(frozen=True)
class PatchMatch:
    """P = softmax of correlation / temperature over `candidates` columns for each row, found from coarse to fine.

    On grids halved until the sides are at most `coarsest` the candidates are exact. Going to twice the size, each
    candidate gives its four children. Then, `iterations` times along either side, a cell tries its neighbours'
    candidates moved by one (propagate) and the surroundings of its own best, and keeps the best (evaluate). So in
    CoCosNet v2 (Zhou et al. 2021, arXiv:2012.02047; released `patch_match.py`), after Barnes et al. 2009; its recurrent
    network, which needs training, is left out, and coarse features are averages of the fine ones. Repeatable: nothing
    is drawn. The search has no gradient, the softmax has.

    To choose for grids beyond 256 x 256, where the exact search's n^2 products are too many. It relies on the motion
    being piecewise smooth: features that follow no neighbour are found by `Nearest` or `TopK`.

    Args:
        candidates: of each cell; 16 in CoCosNet v2.
        iterations: at each size.
        temperature: divides the correlation, 0.01 in CoCosNet v2; the larger, the softer.
        coarsest: longest side, in cells, on which everything is compared with everything.
        backend: which implementation does so, see `kernels.attend`.

    Raises:
        ValueError: an argument is not positive.
    """

    gives: ClassVar[type[Match]] = SparseMatch
    spatial: ClassVar[bool] = True
    candidates: int = 16
    iterations: int = 2
    temperature: float = 0.01
    coarsest: int = 32
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        divisor(temperature=self.temperature)
        int_range(1, 1024, candidates=self.candidates, coarsest=self.coarsest)
        int_range(1, 64, iterations=self.iterations)

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> SparseMatch:
        """Match the condition's features to the exemplar's; both are brought to unit length."""
        query, key = l2_normalize(query), l2_normalize(key)
        return link(query, key, 1 / self.temperature, self._search(query, key))

    @torch.no_grad()
    def _search(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> Int[Tensor, "b n k"]:
        """Columns for each row, best first."""
        precise = torch.promote_types(query.dtype, torch.float32)
        sizes = [(query.to(precise), key.to(precise))]
        while max(*sizes[-1][0].shape[-2:], *sizes[-1][1].shape[-2:]) > self.coarsest:
            sizes.append((_halved(sizes[-1][0]), _halved(sizes[-1][1])))
        small, large = sizes.pop()
        count = min(self.candidates, large.shape[-2] * large.shape[-1])
        columns = top_k(tokens(small), tokens(large), count, self.backend).indices
        while sizes:
            width, grid = large.shape[-1], small.shape[-2:]
            small, large = sizes.pop()
            columns = self._refined(small, large, _children(columns.unflatten(1, grid), width, small, large))
        return columns

    def _refined(
        self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"], places: Int[Tensor, "b h w t 2"]
    ) -> Int[Tensor, "b n k"]:
        """The best columns, after propagating and evaluating."""
        places = self._best(query, key, places)
        for _ in range(self.iterations):
            for axis in (2, 1):
                forward, backward = (_moved(places, axis, step) for step in (1, -1))
                around = places[..., :1, :] + _ring(places.device)
                places = self._best(query, key, torch.cat([places, forward, backward, around], 3))
        return (places[..., 0] * key.shape[-1] + places[..., 1]).flatten(1, 2)

    def _best(
        self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"], places: Int[Tensor, "b h w t 2"]
    ) -> Int[Tensor, "b h w k 2"]:
        """Evaluate: of the (y, x) given, once each, those of largest inner product."""
        (height, width), (b, h, w, tries, _) = key.shape[-2:], places.shape
        columns = places[..., 0].clamp(0, height - 1) * width + places[..., 1].clamp(0, width - 1)
        columns = columns.view(b, h * w, tries).sort(-1).values
        twice = F.pad(columns[..., 1:] == columns[..., :-1], (1, 0))
        scores = torch.stack([_products(*one) for one in zip(tokens(query), tokens(key), columns, strict=True)])
        chosen = scores.masked_fill(twice, -torch.inf).topk(min(self.candidates, tries), -1).indices
        best = columns.gather(-1, chosen).view(b, h, w, -1)
        return torch.stack([best.div(width, rounding_mode="floor"), best % width], -1)


@without_autocast
def _products(q: Float[Tensor, "n d"], k: Float[Tensor, "m d"], columns: Int[Tensor, "n t"]) -> Float[Tensor, "n t"]:
    """<q_i, k_j> of each row's columns, so many rows at once that what is gathered stays small."""
    rows, k = max(1, ENTRIES // (columns.shape[1] * q.shape[1])), k.contiguous()
    parts = zip(q.split(rows), columns.split(rows), strict=True)
    gathered = ((some, k.index_select(0, place.flatten()).unflatten(0, place.shape)) for some, place in parts)
    return torch.cat([torch.bmm(candidates, some[:, :, None])[..., 0] for some, candidates in gathered])


def _halved(x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h2 w2"]:
    return l2_normalize(F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False))


def _children(
    columns: Int[Tensor, "b h2 w2 k"], width: int, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]
) -> Int[Tensor, "b h w t 2"]:
    """(y, x) of the four cells inside each candidate of the cell that each cell is inside."""
    h, w = query.shape[-2:]
    inherited = columns.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :h, :w, :, None]
    corner = torch.stack([inherited.div(width, rounding_mode="floor"), inherited % width], -1) * 2
    within = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], device=columns.device)
    return (corner + within).flatten(3, 4)


def _moved(places: Int[Tensor, "b h w k 2"], axis: int, step: int) -> Int[Tensor, "b h w k 2"]:
    """Propagate: the neighbour's candidates, moved as the cell is from the neighbour; at the border the cell's own."""
    moved = places.roll(step, axis)
    moved[..., axis - 1] += step
    edge = 0 if step > 0 else places.shape[axis] - 1
    moved.select(axis, edge).copy_(places.select(axis, edge))
    return moved


def _ring(device: torch.device) -> Int[Tensor, "8 2"]:
    return torch.tensor([[y, x] for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x], device=device)
