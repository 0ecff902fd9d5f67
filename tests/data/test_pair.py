"""Pairs of one batch, and portraits as a data set."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from midms import available, create
from midms.conditions.sketch import Sketch
from midms.data.pair import Pair, collate, wrong_fields
from midms.data.portraits.pairs import draw_pairs
from midms.registry import BadArguments


def pair(**known: torch.Tensor) -> Pair:
    return Pair(torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), **known)


def test_what_some_pairs_lack_is_told_by_name() -> None:
    flow, visible = torch.zeros(1, 2, 8, 8), torch.ones(1, 1, 8, 8, dtype=torch.bool)
    with pytest.raises(ValueError, match="flow: 1 of 3 pairs have it, expected all or none"):
        collate([pair(), pair(flow=flow), pair()])
    assert collate([pair(flow=flow, visible=visible)] * 2).visible.shape == (2, 1, 8, 8)


SOME = torch.zeros(1, 3, 8, 8)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"target": SOME + 1.2}, "target goes from 1.2 to 1.2, expected numbers in [-1, 1]"),
        ({"condition": SOME - 0.1}, "condition goes from -0.1 to -0.1, expected numbers in [0, 1]"),
        ({"target": SOME.numpy()}, "target is a ndarray, expected a tensor"),
        ({"condition": None}, "condition is a NoneType, expected a tensor"),
        ({"target": SOME[0]}, "target has shape (3, 8, 8), expected (1, channels, height, width)"),
        (
            {"exemplar": torch.cat([SOME, SOME])},
            "exemplar has shape (2, 3, 8, 8), expected (1, channels, height, width)",
        ),
        ({"condition": SOME[..., :4]}, "condition has shape (1, 3, 8, 4), expected (1, 3, 8, 8)"),
        ({"exemplar_condition": SOME[:, :1]}, "exemplar_condition has shape (1, 1, 8, 8), expected (1, 2, 8, 8)"),
        ({"target": SOME.half()}, "target is torch.float16, expected torch.float32"),
        ({"flow": SOME[:, :2] * torch.nan}, "flow holds numbers that are not finite"),
        (
            {"flow": SOME[:, :2] + 7},
            "flow goes from 7 to 7, expected numbers in [-1, 1] from border to border, where the exemplar is visible",
        ),
        ({"flow": SOME[:, :2] + 7, "visible": SOME[:, :1] > 0}, ""),
        ({"foreground": SOME[:, :1]}, "foreground is torch.float32, expected torch.bool"),
        ({"visible": SOME[:, :1] == 0}, "visible says where a flow holds, and there is none"),
    ],
)
def test_what_is_wrong_with_a_pair_is_told(change: dict[str, Any], message: str) -> None:
    assert wrong_fields(dataclasses.replace(pair(), **change)) == message


def test_numbers_may_go_beyond_their_range_as_far_as_is_said() -> None:
    assert not wrong_fields(dataclasses.replace(pair(), target=SOME + 1.2), 0.2)
    assert wrong_fields((SOME, SOME)) == "is a tuple, expected a midms.data.pair.Pair"


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
