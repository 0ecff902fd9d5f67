"""Hints in the loop: which cells heed which, and where they end; the sum itself is a law of matchers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from standins import STRIDE, Pooled, Recorder, ToyPipeline, pictures

from midms.confidence.always import Always
from midms.confidence.cycle import Cycle
from midms.core.limits import OutOfLimits
from midms.loop import Anchor, ColourHint, Hints, Policy
from midms.loop.hints import GivenMatch
from midms.loop.multi_exemplar import compare
from midms.matching.matchers.nearest import Nearest
from midms.testing import features

HERE, THERE = (1.5 / 6, 2.5 / 4), (1.5 / 3, 0.5 / 5)
"""Middles of the cells (1, 2) of `pictures`' condition, 6 x 4 cells, and (1, 0) of its exemplar, 3 x 5."""


@pytest.mark.parametrize("rematch", [(), (0, 2)])
def test_no_hints_change_no_bit(rematch: tuple[int, ...]) -> None:
    pipe, (condition, exemplar) = ToyPipeline(policy=Policy(rematch)), pictures()
    alone = pipe(condition, exemplar, generator=Recorder())
    assert torch.equal(pipe(condition, exemplar, generator=Recorder(), hints=Hints()), alone)


@pytest.mark.parametrize("several", [False, True])
def test_every_match_heeds_a_hint(several: bool) -> None:
    """The first and those made again: the warp has what was named, and is certain, which no estimator may deny."""
    condition, exemplar = pictures()
    pipe = ToyPipeline(policy=Policy((0, 2)), matcher=Nearest(), confidence=Cycle(radius=1e-9))
    bank = [exemplar.flip(3), exemplar] if several else exemplar
    hints = Hints((Anchor(HERE, THERE, exemplar=int(several)),))
    latent = Pooled().encode(exemplar)
    for moment in pipe.trajectory(condition, bank, generator=Recorder(), hints=hints):
        torch.testing.assert_close(moment.warp[..., 2, 1], latent[..., 0, 1])
        assert (moment.confidence[..., 2, 1] == 1).all()
    plain = next(pipe.trajectory(condition, bank, generator=Recorder()))
    hinted = next(pipe.trajectory(condition, bank, generator=Recorder(), hints=hints))
    torch.testing.assert_close(hinted.warp[..., 4:], plain.warp[..., 4:], rtol=0, atol=0)
    assert torch.equal(hinted.confidence[..., 4:], plain.confidence[..., 4:])


def test_a_colour_is_what_a_picture_of_it_is() -> None:
    condition, exemplar = pictures()
    colours = ColourHint(HERE, (-0.5, 0.25, 1.0)), ColourHint((5.5 / 6, 0.5 / 4), (1.0, 1.0, 0.0))
    moment = next(ToyPipeline().trajectory(condition, exemplar, generator=Recorder(), hints=Hints(colours=colours)))
    for (x, y), hint in zip(((1, 2), (5, 0)), colours, strict=True):
        flat = torch.tensor(hint.colour, dtype=torch.float64).view(1, 3, 1, 1).expand(2, 3, STRIDE, STRIDE)
        torch.testing.assert_close(moment.warp[..., y, x], Pooled().encode(flat)[..., 0, 0])
    assert torch.all(moment.confidence[..., 2, 1] == 1)


def test_a_hint_ends_with_its_region() -> None:
    """All cells that have some of the region heed it, its share falling off where it has a radius; no other does."""
    query, key = features(0, h=8, w=8), features(1, h=4, w=4)
    regions = torch.zeros(64, 64, dtype=torch.long)
    regions[:, 20:], regions[40:] = 1, 2
    for radius in (None, 0.5):
        hints = Hints((Anchor((0.9, 0.1), (0.1, 0.1), radius=radius),), regions=regions)
        (result,) = hints.matches(query, [(4, 4)])
        inside = torch.zeros(8, 8, dtype=torch.bool)
        inside[:5, 2:] = True
        assert torch.equal(result.share[0, 0] > 0, inside)
        assert torch.equal(result.share[0, 0] == 1, inside) == (radius is None) and result.share[0, 0, 0, 7] == 1
    plain = compare(Nearest(), Always(), query, [key], None)[0].apply(features(2, h=4, w=4))
    both = torch.cat([features(2, h=4, w=4)] * 2, -1)
    hinted = compare(Nearest(), Always(), query, [key], None, hints)[0].apply(both)
    assert torch.equal(hinted[..., ~inside], plain[..., ~inside])
    assert torch.equal(hints.within((64, 64))[0, 0], regions == 1)
    assert torch.equal(hints.within((8, 8))[0, 0], regions[4::8, 4::8] == 1)
    assert Hints((Anchor(HERE, THERE),)).within((3, 4)).all()


def test_in_one_region_the_nearer_hint_wins_and_in_two_each_its_own() -> None:
    here, there = (0.05, 0.5), (0.95, 0.5)
    hints = Anchor(here, THERE), ColourHint(there, (0, 0, 0))
    query = features(0, h=4, w=16)
    for split, border in ((None, 8), (12, 12)):
        regions = torch.zeros(4, 64, dtype=torch.long)
        if split:
            regions[:, split * 4 :] = 1
        anchored, coloured = Hints(hints[:1], hints[1:], regions).matches(query, [(5, 3)])
        assert isinstance(anchored, GivenMatch) and (anchored.exemplar, coloured.exemplar) == (0, None)
        first = torch.arange(16) < border
        assert torch.equal(anchored.share[0, 0] == 1, first.expand(4, -1))
        assert torch.equal(coloured.share[0, 0] == 1, ~first.expand(4, -1))


@settings(max_examples=25, deadline=None)
@given(
    places=st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5),
    grids=st.tuples(*[st.integers(1, 6)] * 4),
)
def test_given_matches_are_matches(places: list[tuple[float, ...]], grids: tuple[int, ...]) -> None:
    """Shares are 1 where hints are and nowhere more; rows and columns are those of the matrix written out."""
    h, w, height, width = grids
    anchors = tuple(Anchor((a, b), (c, d)) for a, b, c, d in places)
    (result,) = Hints(anchors).matches(features(0, h=h, w=w), [(height, width)])
    assert result.grid == (h, w) and result.share.amax() == 1 and result.share.amin() >= 0
    own = {(min(int(b * h), h - 1), min(int(a * w), w - 1)) for a, b, _, _ in places}
    assert {tuple(one) for one in (result.share[0, 0] == 1).nonzero().tolist()} == own
    dense = torch.zeros(h * w, height * width, dtype=torch.float64)
    dense[torch.arange(h * w), result.columns.flatten()] = 1
    values, back = features(2, h=height, w=width), result.transpose()
    torch.testing.assert_close(result.apply(values).flatten(2), values.flatten(2) @ dense.T)
    column = torch.where(dense.sum(0) > 0, dense / dense.sum(0).clamp(min=1), 1 / (h * w))
    torch.testing.assert_close(back.apply(features(3, h=h, w=w)).flatten(2), features(3, h=h, w=w).flatten(2) @ column)
    assert back.grid == (height, width) and back.transpose() is result
    assert (result.similarity() == 1).all() and back.similarity().shape == (2, 1, height, width)


def test_a_hinted_match_reads_back() -> None:
    """The transpose of the whole is what the dense matrix with hints' columns gives, column by column."""
    query, key = features(0, h=3, w=4), features(1, h=3, w=3)
    match, _ = compare(Nearest(), Always(), query, [key], None, Hints((Anchor((0.1, 0.1), (0.9, 0.9)),)))
    eye = torch.eye(18, dtype=torch.float64).view(1, 18, 3, 6).expand(2, -1, -1, -1)
    coupling, values = match.apply(eye).flatten(2).mT, features(2, h=3, w=4)
    back = match.transpose().apply(values).flatten(2)
    hinted = 2 * 6 + 5
    weights = coupling[..., hinted] / coupling[..., hinted].sum(1, keepdim=True)
    torch.testing.assert_close(back[..., hinted], (values.flatten(2) * weights[:, None]).sum(2))


def test_what_no_hint_can_be_is_refused() -> None:
    for wrong in (
        lambda: Anchor((1.2, 0), THERE),
        lambda: Anchor(HERE, (0.1, float("nan"))),
        lambda: Anchor(HERE, THERE, -1),
        lambda: Anchor(HERE, THERE, radius=0),
        lambda: ColourHint(HERE, (0, 0, 255)),
        lambda: ColourHint(HERE, (0, 0, 1), float("inf")),
    ):
        with pytest.raises(OutOfLimits, match=r"^(here|there|exemplar|radius|colour) must "):
            wrong()
    condition, exemplar = pictures()
    with pytest.raises(ValueError, match=r"^anchors: one takes from exemplar 1, there are 1$"):
        ToyPipeline()(condition, exemplar, hints=Hints((Anchor(HERE, THERE, 1),)))
