"""Hints of a person: points of the condition that take from points of an exemplar, or have a colour.

A hint is one more exemplar, whose match is given instead of found: an anchor's is the exemplar itself, a colour's a
cell of that colour. Its share w of a row of P is 1 in its own cell and falls off around it. That is a bias in log P,

    log P'[i, j] = log P[i, j] + log(1 - w_i)     for what was matched,
    log P'[i, hint] = log w_i                     for the cell that the hint names,

just as large as the hint needs to win. Whether a bias of some fixed size does would be the matcher's affair: of its
temperature, its potentials, the edges that it has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from midms.core.limits import LARGE, divisor, int_range, number
from midms.core.protocols import Autoencoder
from midms.core.types import cells

RADIUS = 1 / 16
"""Distance at which a hint's share has fallen to a half, of the condition's longer side."""
_LEAST = 2.0**-8
"""Share below which a hint counts for nothing."""
_SWATCH = 8
"""Cells a side of the picture of one colour that is encoded, so that its middle knows nothing of its edges."""
_AT_ONCE = 16
"""Such pictures that are encoded at once."""


@dataclass(frozen=True)
class Anchor:
    """A place of the condition that takes from a place of an exemplar.

    Attributes:
        here: (x, y) in the condition, as shares of its width and height from the upper left corner.
        there: (x, y) in the exemplar, likewise.
        exemplar: its number, from 0.
        radius: where the anchor's share has fallen to a half, in longer sides of the condition. None for all of its
            region, or `RADIUS` where there are none.

    Raises:
        OutOfLimits: a place is not in [0, 1], the radius not positive, or the exemplar no number from 0 on.
    """

    here: tuple[float, float]
    there: tuple[float, float]
    exemplar: int = 0
    radius: float | None = None

    def __post_init__(self) -> None:
        _check(self.radius, here=self.here, there=self.there)
        int_range(0, int(LARGE), exemplar=self.exemplar)


@dataclass(frozen=True)
class ColourHint:
    """A place of the condition that has a colour.

    Attributes:
        here: as of `Anchor`.
        colour: red, green and blue, in [-1, 1].
        radius: as of `Anchor`.

    Raises:
        OutOfLimits: a place is not in [0, 1], the radius not positive, or the colour not in [-1, 1].
    """

    here: tuple[float, float]
    colour: tuple[float, float, float]
    radius: float | None = None

    def __post_init__(self) -> None:
        _check(self.radius, here=self.here)
        for value in self.colour:
            number(-1, 1, colour=value)


def _check(radius: float | None, **places: tuple[float, float]) -> None:
    for name, place in places.items():
        for value in place:
            number(0, 1, False, **{name: value})
    if radius is not None:
        divisor(radius=radius)


@dataclass(frozen=True)
class GivenMatch:
    """Each cell takes from the one cell that its hint names.

    Attributes:
        columns: of each cell, its place in the exemplar's grid read row by row.
        other: (H, W) of the exemplar's grid.
        share: how far each cell heeds this match.
        exemplar: number of the exemplar, from 0; None for colours, which are in none.
    """

    columns: Int[Tensor, "h w"]
    other: tuple[int, int]
    share: Float[Tensor, "b 1 h w"]
    exemplar: int | None

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.columns.shape[0], self.columns.shape[1]

    def apply(self, values: Float[Tensor, "#b c H W"]) -> Float[Tensor, "#b c h w"]:
        """The value that its hint names for each cell."""
        return values.flatten(2)[..., self.columns]

    def transpose(self) -> GivenBack:
        """The same coupling read from the exemplar to the condition."""
        return GivenBack(self)

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """1: what a person names is alike."""
        return torch.ones_like(self.share)


@dataclass(frozen=True)
class GivenBack:
    """A given match read from the exemplar: a cell gets the mean of those that take from it, or else of all."""

    forth: GivenMatch

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) of the exemplar's cells."""
        return self.forth.other

    def apply(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        """Warp the condition's values to the exemplar."""
        columns, (height, width) = self.forth.columns.flatten(), self.grid
        sums = values.new_zeros(*values.shape[:2], height * width).index_add(2, columns, values.flatten(2))
        count = columns.bincount(minlength=height * width).to(sums)
        found = torch.where(count > 0, sums / count.clamp(min=1), values.flatten(2).mean(2, keepdim=True))
        return found.unflatten(2, self.grid)

    def transpose(self) -> GivenMatch:
        """The given match itself."""
        return self.forth

    def similarity(self) -> Float[Tensor, "b 1 H W"]:
        """1 in each cell."""
        return self.forth.share.new_ones(len(self.forth.share), 1, *self.grid)


@dataclass(frozen=True)
class Hints:
    """What a person says of a match, for every picture of a batch.

    A cell heeds the hint that is nearest in radii. With regions none reaches beyond the region that it lies in.

    Attributes:
        anchors: places that take from an exemplar.
        colours: places that have a colour.
        regions: the region of each pixel of the condition, at any resolution; lines belong to one of their sides.
    """

    anchors: tuple[Anchor, ...] = ()
    colours: tuple[ColourHint, ...] = ()
    regions: Int[Tensor, "Y X"] | None = None

    def __bool__(self) -> bool:
        return bool(self.anchors or self.colours)

    @property
    def swatches(self) -> list[Float[Tensor, "1 3 1 1"]]:
        """A picture of each colour."""
        return [torch.tensor(one.colour, device="cpu").view(1, 3, 1, 1).float() for one in self.colours]

    def sources(self) -> list[int | None]:
        """Numbers of the exemplars that anchors take from, then None if there are colours: a given match for each."""
        numbered: list[int | None] = [*sorted({anchor.exemplar for anchor in self.anchors})]
        return numbered + ([None] if self.colours else [])

    def latents(self, exemplars: Sequence[Tensor], autoencoder: Autoencoder) -> list[Float[Tensor, "b c _ _"]]:
        """What each of `sources` has to give: an exemplar's latent, and a row of cells of the colours.

        Raises:
            ValueError: there are fewer exemplars.
        """
        lacking = [a for a in self.anchors if a.exemplar >= len(exemplars)]
        if lacking:
            raise ValueError(f"anchors: one takes from exemplar {lacking[0].exemplar}, there are {len(exemplars)}")
        return [
            self._swatches(exemplars[0], autoencoder) if source is None else exemplars[source]
            for source in self.sources()
        ]

    def _swatches(self, like: Float[Tensor, "b c H W"], autoencoder: Autoencoder) -> Float[Tensor, "b c 1 k"]:
        side, middle = _SWATCH * autoencoder.stride, _SWATCH // 2
        flat = like.new_tensor([hint.colour for hint in self.colours])[..., None, None].expand(-1, -1, side, side)
        cell = torch.cat([autoencoder.encode(some.contiguous()) for some in flat.split(_AT_ONCE)])[..., middle, middle]
        return cell.to(like).T[None, :, None].expand(len(like), -1, -1, -1)

    def matches(self, like: Float[Tensor, "b d h w"], others: Sequence[tuple[int, int]]) -> list[GivenMatch]:
        """A given match for each of `sources`; their shares add up to 1 at most.

        Args:
            like: features of the condition, which give grid, batch, device and precision.
            others: (H, W) of each exemplar's cells.
        """
        order, share = self._shares(like)
        first = order.argmax(0)
        given = []
        for source in self.sources():
            which = [i for i, hint in enumerate(self._all) if getattr(hint, "exemplar", None) == source]
            other = (1, len(self.colours)) if source is None else others[source]
            columns = torch.tensor([self._column(self._all[i], other) for i in which], device=like.device)
            mine = torch.isin(first, torch.tensor(which, device=like.device)) * share
            nearest = columns[order[which].argmax(0)]
            given.append(GivenMatch(nearest, other, mine.expand(len(like), 1, -1, -1), source))
        return given

    def within(self, size: tuple[int, int]) -> Bool[Tensor, "1 1 Y X"]:
        """Pixels of the regions that hints lie in, of a condition of `size` (height, width); all without regions."""
        if self.regions is None:
            return torch.ones(1, 1, *size, dtype=torch.bool)
        return torch.stack([area for area, _ in self.areas(size)]).any(0)

    def areas(self, size: tuple[int, int]) -> list[tuple[Bool[Tensor, "1 1 Y X"], list[Anchor | ColourHint]]]:
        """The pixels of each region that hints lie in, of a condition of `size`, and these hints; needs regions."""
        assert self.regions is not None
        height, width = self.regions.shape
        rows, columns = (
            ((torch.arange(some, device=self.regions.device) + 0.5) * whole / some).long()
            for some, whole in zip(size, (height, width), strict=True)
        )
        labels = self.regions[rows[:, None], columns][None, None]
        inside: dict[int, list[Anchor | ColourHint]] = {}
        for hint in self._all:
            x, y = _cell(hint.here, (height, width))
            inside.setdefault(int(self.regions[y, x]), []).append(hint)
        return [(labels == number, those) for number, those in inside.items()]

    @property
    def _all(self) -> tuple[Anchor | ColourHint, ...]:
        return (*self.anchors, *self.colours)

    def _column(self, hint: Anchor | ColourHint, other: tuple[int, int]) -> int:
        if isinstance(hint, ColourHint):
            return self.colours.index(hint)
        x, y = _cell(hint.there, other)
        return y * other[1] + x

    def _shares(self, like: Float[Tensor, "b d h w"]) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "h w"]]:
        """How near each hint is to each cell, and what share of a cell's row the nearest one that reaches it has."""
        h, w = like.shape[-2:]
        precise = like[:0].to(torch.promote_types(like.dtype, torch.float32))
        own = precise.new_tensor([_cell(hint.here, (h, w)) for hint in self._all])
        radii = precise.new_tensor([(hint.radius or RADIUS) * max(h, w) for hint in self._all])[:, None, None]
        near = -((cells(h, w, precise) - own[..., None, None]).square().sum(1) / radii.square())
        share = near.exp2()
        if self.regions is not None:
            cover = self._cover(own.long(), (h, w)).to(share)
            whole = torch.tensor([hint.radius is None for hint in self._all], device=like.device)[:, None, None]
            share = torch.where(whole, 1.0, share) * (cover > 0)
            near = near.masked_fill(cover < cover.amax(0), -torch.finfo(near.dtype).max / 4)
        share = share.masked_fill(share < _LEAST, 0)
        order = torch.where(share > 0, near, near - torch.finfo(near.dtype).max / 2)
        return order, share.gather(0, order.argmax(0, keepdim=True))[0]

    def _cover(self, own: Int[Tensor, "n 2"], grid: tuple[int, int]) -> Float[Tensor, "n h w"]:
        """How much of each cell is of the region that each hint lies in; of its own cell, more than all."""
        assert self.regions is not None
        regions = self.regions.to(own.device)
        places = [_cell(hint.here, (regions.shape[0], regions.shape[1])) for hint in self._all]
        inside = ((regions == regions[y, x]).float()[None] for x, y in places)
        cover = torch.cat([F.adaptive_avg_pool2d(one, grid) for one in inside])
        cover[torch.arange(len(own), device=own.device), own[:, 1], own[:, 0]] = 2
        return cover


def _cell(place: tuple[float, float], grid: tuple[int, int]) -> tuple[int, int]:
    """(x, y) of the cell that a place is in."""
    return min(int(place[0] * grid[1]), grid[1] - 1), min(int(place[1] * grid[0]), grid[0] - 1)
