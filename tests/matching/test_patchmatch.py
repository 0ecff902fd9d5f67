"""PatchMatch against brute force on smooth motion."""

from __future__ import annotations

import torch
from bent import scene
from torch import Tensor

from midms.matching.matchers.nearest import Nearest
from midms.matching.matchers.patchmatch import PatchMatch
from midms.matching.matches.sparse import SparseMatch


def found(match: SparseMatch, query: Tensor, key: Tensor) -> float:
    """The share of cells among whose candidates is one as good as the best of all."""
    best = Nearest()(query, key).similarity()
    ours = torch.full((best.numel(),), -torch.inf).scatter_reduce(0, match.rows, match.cosines, "amax").view_as(best)
    return (ours >= best - 1e-6).float().mean().item()


def test_it_finds_what_brute_force_finds() -> None:
    """At least 95 % of the best scores at 64 x 64."""
    for seed in range(2):
        query, key, _ = scene(seed, 64)
        match = PatchMatch()(query, key)
        assert found(match, query, key) >= 0.95
        assert len(match.rows) == 16 * 64 * 64, "sixteen different candidates for each cell"


def test_neighbours_tell_each_other_of_what_they_found() -> None:
    """From the grid of 8 x 8 some cells start wrong; once along each side puts them right, if what is told is moved."""
    query, key, _ = scene(0, 64)
    assert found(PatchMatch(candidates=1, iterations=1, coarsest=8)(query, key), query, key) > 0.998


def test_it_takes_any_grid() -> None:
    query, key, _ = scene(0, 64)
    query, key = query[..., :50, :37], key[..., :41, :64]
    assert found(PatchMatch(coarsest=8)(query, key), query, key) > 0.8
