"""Several exemplars at once: each is matched, and each cell of the condition takes from one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.errors import MidmsError
from midms.core.precision import without_autocast
from midms.core.protocols import ConfidenceEstimator, Match, Matcher, Unanswered, ask, written
from midms.core.types import white_cells
from midms.loop.hints import Hints
from midms.loop.inputs import check_finite
from midms.loop.masked import MaskedMatch

TIE = 1e-3
"""What similarity counts beside confidence: it decides where several exemplars have the same, as masks often do."""

ROUNDING = 1e-3
"""How far beyond [0, 1] a confidence may be."""


class NoMatch(MidmsError, TypeError):
    """What a matcher gives is no match between the grids that it was given."""


class NoConfidence(MidmsError, ValueError):
    """What a confidence estimator gives is not a number in [0, 1] for each cell of its match."""


@dataclass(frozen=True)
class MultiExemplarMatch:
    """Matches to several exemplars as one match to all of them laid side by side, top edges aligned.

    Where there are hints, what these take from lies to the right of them, see `midms.loop.hints`.

    Attributes:
        matches: of the same condition to each exemplar.
        shares: how far each cell takes from each exemplar; they sum to one.
    """

    matches: tuple[Match, ...]
    shares: tuple[Float[Tensor, "b 1 h w"], ...]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.matches[0].grid

    def apply(self, values: Float[Tensor, "#b c H W"]) -> Float[Tensor, "b c h w"]:
        """Warp values of all exemplars side by side, see `side_by_side`, onto the condition's grid."""
        pieces = apart(values, [match.transpose().grid for match in self.matches])
        return _total([s * m.apply(piece) for s, m, piece in zip(self.shares, self.matches, pieces, strict=True)])

    def weights(self, rows: int) -> Iterator[Float[Tensor, "b r m"]]:
        """The coupling, some rows at a time, to one exemplar's cells after the other's: no gap is between them."""
        pieces = [written(match, rows, share) for match, share in zip(self.matches, self.shares, strict=True)]
        shares = [share.flatten(2).mT.split(rows, 1) for share in self.shares]
        for some in zip(*(zip(*pair, strict=True) for pair in zip(shares, pieces, strict=True)), strict=True):
            yield torch.cat([share * piece for share, piece in some], -1)

    def transpose(self) -> TransposedMultiExemplarMatch:
        """The same coupling read from the exemplars to the condition."""
        return TransposedMultiExemplarMatch(self)

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Expected cosine similarity of each cell with what it takes."""
        return _total([s * match.similarity() for s, match in zip(self.shares, self.matches, strict=True)])


@dataclass(frozen=True)
class TransposedMultiExemplarMatch:
    """The match read from the exemplars, side by side, to the condition: each of them sees what takes from it."""

    forth: MultiExemplarMatch

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) of the exemplars side by side."""
        grids = [match.transpose().grid for match in self.forth.matches]
        return max(h for h, _ in grids), sum(w for _, w in grids)

    def apply(self, values: Float[Tensor, "#b c h w"]) -> Float[Tensor, "b c H W"]:
        """Warp values of the condition to the exemplars; zero where there is no exemplar."""
        pieces = []
        for share, match in zip(self.forth.shares, self.forth.matches, strict=True):
            back = match.transpose()
            taken = back.apply(share)
            weighted = back.apply(share * values) / taken.clamp(min=torch.finfo(taken.dtype).tiny)
            pieces.append(torch.where(taken > 0, weighted, back.apply(values.expand(len(share), -1, -1, -1))))
        return side_by_side(pieces)

    def transpose(self) -> MultiExemplarMatch:
        """The match to the exemplars itself."""
        return self.forth

    def similarity(self) -> Float[Tensor, "b 1 H W"]:
        """Expected cosine similarity of each exemplar's cells with the condition."""
        return side_by_side([match.transpose().similarity() for match in self.forth.matches])


@without_autocast
def compare(
    matcher: Matcher,
    confidence: ConfidenceEstimator,
    query: Float[Tensor, "b d h w"],
    keys: Sequence[Tensor],
    regions: Sequence[Tensor] | None,
    hints: Hints | None = None,
    exemplar_regions: Sequence[Tensor | None] = (),
) -> tuple[Match, Float[Tensor, "b 1 h w"]]:
    """Match to every exemplar, and the confidence in it.

    Args:
        matcher: from features to a match.
        confidence: from a match to the confidence in it.
        query: features of the condition.
        keys: features [b d H W] of each exemplar.
        regions: masks [b 1 Y X] of the condition, one an exemplar: each cell takes from the exemplar that covers most
            of it, of several that cover as much of it from that which is trusted most, as without regions.
        hints: of a person, each of which is certain as far as its share of a cell goes.
        exemplar_regions: masks [b 1 Y X] of exemplars in their order, 1 where one may be taken from; None or none for
            all of it. The confidence counts as far as a row lies there.

    Raises:
        NoMatch: the matcher gives something else than a match between these grids.
        NotFinite: the matcher or the estimator gives numbers that are not finite; names which.
        NoConfidence: it gives something else than numbers in [0, 1], one a cell.
    """
    matches = [_matched(matcher, query, key, region) for key, region in zip_longest(keys, exemplar_regions)]
    confidences = [_estimated(confidence, match, len(query), matcher) for match in matches]
    if len(matches) == 1 and hints is None:
        return matches[0], confidences[0]
    similarities = [check_finite(match.similarity(), matcher, "matcher") for match in matches]
    shares = _chosen(similarities, confidences, regions)
    combined = _total([share * one for share, one in zip(shares, confidences, strict=True)])
    if hints is None:
        return MultiExemplarMatch(tuple(matches), shares), combined
    given = hints.matches(query, [(key.shape[-2], key.shape[-1]) for key in keys])
    hinted = _total([one.share for one in given]).to(combined)
    shares = (*[(1 - hinted) * share for share in shares], *[one.share.to(combined) for one in given])
    return MultiExemplarMatch((*matches, *given), shares), (1 - hinted) * combined + hinted


def _chosen(
    similarities: Sequence[Tensor], confidences: Sequence[Tensor], regions: Sequence[Tensor] | None
) -> tuple[Float[Tensor, "b 1 h w"], ...]:
    """1 where an exemplar is the one that a cell takes from, else 0."""
    liking = torch.cat([c + TIE * s.to(c) for c, s in zip(confidences, similarities, strict=True)], 1)
    if regions is not None:
        cover = torch.cat([F.interpolate(region.to(liking), liking.shape[-2:], mode="area") for region in regions], 1)
        liking = liking.masked_fill(cover < cover.amax(1, keepdim=True), -torch.inf)
    return F.one_hot(liking.argmax(1), len(similarities)).movedim(-1, 1).to(confidences[0]).split(1, 1)


def _matched(matcher: Matcher, query: Tensor, key: Tensor, region: Tensor | None) -> Match:
    mask = None if region is None else white_cells(region, (key.shape[-2], key.shape[-1]))
    match = matcher(query, key if mask is None else key.where(mask > 0, 0))
    name = f"matcher: {type(matcher).__name__} gives what is no match:"
    if not isinstance(match, Match):
        raise NoMatch(f"{name} {type(match).__name__} lacks grid, apply, transpose or similarity")
    rows, columns = (tuple(x.shape[-2:]) for x in (query, key))
    if (got := (tuple(match.grid), tuple(match.transpose().grid))) != (rows, columns):
        raise NoMatch(f"{name} it is between cells {got[0]} and {got[1]}, expected {rows} and {columns}")
    return match if mask is None else MaskedMatch(match, mask)


def _estimated(confidence: ConfidenceEstimator, match: Match, batch: int, matcher: Matcher) -> Float[Tensor, "b 1 h w"]:
    value, expected = confidence(match), (batch, 1, *match.grid)
    name = f"confidence: {type(confidence).__name__} gives"
    if not isinstance(value, Tensor) or not value.is_floating_point() or tuple(value.shape) != expected:
        got = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise NoConfidence(f"{name} {got}, expected floats {expected}")
    if not torch.isfinite(value).all():
        for answer in _answers(match, value):
            check_finite(answer, matcher, "matcher")
    low, high = check_finite(value, confidence, "confidence").amin().item(), value.amax().item()
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise NoConfidence(f"{name} numbers from {low:.3g} to {high:.3g}, expected them in [0, 1]")
    return value * match.share().to(value) if isinstance(match, MaskedMatch) else value


def _answers(match: Match, like: Tensor) -> Iterator[Tensor]:
    """What an estimator may have heard of a match: numbers of all its cells, in both directions."""
    for way in (match, match.transpose()):
        yield way.similarity()
        yield way.apply(like.new_ones(len(like), 1, *way.transpose().grid))
        for question in ("peak", "entropy"):
            with suppress(Unanswered):
                yield ask(way, question)


def side_by_side(pieces: Sequence[Tensor], fill: float = 0.0) -> Float[Tensor, "b c H W"]:
    """Grids [b c h w] of any sizes from left to right, the lower ones filled up below."""
    height = max(piece.shape[-2] for piece in pieces)
    return torch.cat([F.pad(piece, (0, 0, 0, height - piece.shape[-2]), value=fill) for piece in pieces], -1)


def apart(values: Float[Tensor, "b c H W"], grids: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The inverse of `side_by_side`."""
    pieces = values.split([width for _, width in grids], -1)
    return [piece[..., :height, :] for piece, (height, _) in zip(pieces, grids, strict=True)]


def _total(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum(0)
