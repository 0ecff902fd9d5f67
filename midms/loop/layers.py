"""Matching inside the denoiser's network, as the loop itself matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.injection import WarpFn
from midms.core.precision import without_autocast
from midms.core.protocols import ConfidenceEstimator, Match, Matcher, written
from midms.core.types import cells, white_cells
from midms.loop.multi_exemplar import compare, side_by_side
from midms.loop.policy import Policy

_ENTRIES = {"cpu": 1 << 20, "cuda": 1 << 24}
"""Of a match's matrix that are there at once, over the batch."""


@dataclass(frozen=True)
class MatchingOfLayers:
    """A `midms.core.injection.LayerMatching`. Hints are no part of it.

    Attributes:
        policy: its style says how far a confidence counts.
        regions: for several exemplars a mask each: what of the condition takes from it.
        exemplar_regions: masks of exemplars in their order, 1 where one may be taken from; None for all of it.
    """

    policy: Policy
    regions: Sequence[Float[Tensor, "b 1 Y X"]] | None = None
    exemplar_regions: Sequence[Float[Tensor, "b 1 _ _"] | None] = ()

    def exemplars(
        self, matcher: Matcher, confidence: ConfidenceEstimator, query: Float[Tensor, "b d h w"], keys: Sequence[Tensor]
    ) -> tuple[WarpFn, Float[Tensor, "b 1 h w"]]:
        """Match to features of each exemplar; and how far this is trusted, after the policy's style."""
        regions = None if self.regions is None else [_repeated(one, query) for one in self.regions]
        allowed = [None if one is None else _repeated(one, query) for one in self.exemplar_regions]
        match, trusted = compare(matcher, confidence, query, keys, regions, None, allowed)

        def warp(values: Sequence[Tensor], change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
            return (
                match.apply(side_by_side(values))
                if change is None
                else _changed(match, torch.cat([one.flatten(2) for one in values], 2).mT, change)
            )

        return warp, self.policy.apply_style(trusted)

    def structure(
        self, matcher: Matcher, confidence: ConfidenceEstimator, query: Float[Tensor, "b d h w"], key: Tensor
    ) -> tuple[WarpFn, Float[Tensor, "b 1 h w"]]:
        """The same with features of the condition as a picture, of which nothing is masked."""
        return MatchingOfLayers(self.policy).exemplars(matcher, confidence, query, [key])

    def places(
        self,
        matcher: Matcher,
        confidence: ConfidenceEstimator,
        key: Float[Tensor, "b d H W"],
        query: Tensor,
        which: int,
    ) -> tuple[Float[Tensor, "b 2 H W"], Float[Tensor, "b 1 H W"]]:
        """Where each cell of an exemplar belongs, (x, y) among the query's cells, and how far it is trusted."""
        match, trusted = compare(matcher, confidence, key, [query], None)
        trusted = self.policy.apply_style(trusted)
        region = self.exemplar_regions[which] if which < len(self.exemplar_regions) else None
        if region is not None:
            trusted = trusted * white_cells(_repeated(region, key), (key.shape[-2], key.shape[-1])).to(trusted)
        places = match.apply(cells(query.shape[-2], query.shape[-1], query))
        return places.expand(len(key), -1, -1, -1), trusted


@without_autocast
def _changed(
    match: Match, values: Float[Tensor, "b m c"], change: Callable[[Tensor], Tensor]
) -> Float[Tensor, "b c h w"]:
    """Values under the weights of a match as they are changed, the matrix never being there as a whole."""
    rows = max(1, _ENTRIES.get(values.device.type, _ENTRIES["cuda"]) // values.shape[:2].numel())
    found = [change(some).to(values) @ values for some in written(match, rows, values)]
    return torch.cat(found, 1).mT.unflatten(2, match.grid)


def _repeated(mask: Float[Tensor, "b 1 Y X"], like: Tensor) -> Float[Tensor, "_ 1 Y X"]:
    """For each head of a picture, which are neighbours in the batch."""
    return mask.repeat_interleave(len(like) // len(mask), 0)
