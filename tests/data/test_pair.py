"""Pairs of one batch, and portraits as a data set."""

from __future__ import annotations

import pytest
import torch

from midms import available, create
from midms.conditions.sketch import Sketch
from midms.data.pair import Pair, collate
from midms.data.portraits.pairs import draw_pairs
from midms.registry import BadArguments


def pair(**known: torch.Tensor) -> Pair:
    return Pair(torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), **known)


def test_what_some_pairs_lack_is_told_by_name() -> None:
    flow, visible = torch.zeros(1, 2, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.bool)
    with pytest.raises(ValueError, match="flow: 1 of 3 pairs have it, expected all or none"):
        collate([pair(), pair(flow=flow), pair()])
    assert collate([pair(flow=flow, visible=visible)] * 2).visible.shape == (2, 1, 8, 8)


def test_portraits_of_a_split_are_those_that_are_measured() -> None:
    """The pair of an index is the one that benchmarks draw by this number, its sketch read as theirs is."""
    found, drawn = (
        create("dataset", "portraits", split="test", size=64, condition=Sketch())[3],
        draw_pairs("test", [3], 64),
    )
    assert torch.equal(found.exemplar, drawn.exemplar) and torch.equal(found.target, drawn.answer)
    assert torch.equal(found.flow, drawn.place) and torch.equal(found.visible[:, 0], drawn.visible)
    assert torch.equal(found.condition, Sketch().drawing((1 - 2 * drawn.sketch).expand(-1, 3, -1, -1), (64, 64)))
    assert torch.equal(found.exemplar_condition, Sketch().photo(drawn.exemplar))


def test_what_portraits_cannot_be_is_refused_by_name() -> None:
    assert "portraits" in available("dataset")
    for settings, message in (
        ({"split": "trian"}, "split must be one of train, validation, test, hard, got 'trian'"),
        ({"size": 32}, "size must be a whole number from 64 to 256, got 32"),
    ):
        with pytest.raises(ValueError, match=message):
            create("dataset", "portraits", **settings)
    with pytest.raises(BadArguments, match="portraits"):
        create("dataset", "portraits", sise=64)
