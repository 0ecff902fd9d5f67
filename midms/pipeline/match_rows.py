"""From which cells of the exemplars each cell of a result takes, and how much: the rows of its last match, listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.flow import cycle_error
from midms.core.protocols import Match
from midms.images.frame import Frame
from midms.loop.hints import GivenMatch
from midms.loop.multi_exemplar import MultiExemplarMatch

LISTED, FEWEST = 2**18, 64
"""Entries that rows have together, about, and those that each has at least, where there are so many cells."""
_AT_ONCE = 256
"""Cells of an exemplar that are asked for at once."""


@dataclass(frozen=True)
class MatchRows:
    """The last match of a result, row by row, the likeliest cells first.

    Attributes:
        frame: of the condition, whose canvas the rows' grid covers.
        exemplars: frames of the exemplars, likewise.
        grids: (H, W) of each exemplar's cells.
        columns: cells that each row takes from, best first: those of the first exemplar are numbered row by row, then
            come those of the next.
        shares: how much of it, in [0, 1]. They sum to one but for what is too little to be listed, and for colours
            that a person gave.
        cycle: how far from itself each cell comes back, in widths: shares of the grid's longer side.
    """

    frame: Frame
    exemplars: tuple[Frame, ...]
    grids: tuple[tuple[int, int], ...]
    columns: Int[Tensor, "n k"]
    shares: Float[Tensor, "n k"]
    cycle: Float[Tensor, "h w"]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the rows."""
        return self.cycle.shape[0], self.cycle.shape[1]

    def row_at(self, place: tuple[float, float]) -> int:
        """The row of a place (x, y) of the result, in shares of its width and height."""
        return int(_cell_at(torch.tensor([place], dtype=torch.float64), self.frame, self.grid))

    def taken_by(self, row: int, exemplar: int) -> Float[Tensor, "Y X"]:
        """How much a row takes from the cell that each pixel of an exemplar's picture lies in."""
        first, (height, width) = self._first(exemplar), self.grids[exemplar]
        mine = (self.columns[row] >= first) & (self.columns[row] < first + height * width)
        found = self.shares.new_zeros(height * width)
        found.index_add_(0, self.columns[row][mine] - first, self.shares[row][mine])
        return _on_picture(found.view(height, width), self.exemplars[exemplar])

    def taken_from(self, place: tuple[float, float], exemplar: int) -> Float[Tensor, "Y X"]:
        """How much the cell of each pixel of the result takes from a place (x, y), in shares, of an exemplar."""
        there = torch.tensor([place], dtype=torch.float64)
        column = self._first(exemplar) + _cell_at(there, self.exemplars[exemplar], self.grids[exemplar])
        found = (self.shares * (self.columns == column)).sum(1)
        return _on_picture(found.view(self.grid), self.frame)

    def main_places(
        self, pixels: Int[Tensor, "n 2"], flow: Float[Tensor, "2 Y X"], source: Int[Tensor, "Y X"]
    ) -> tuple[Float[Tensor, "n 2"], Float[Tensor, " n"]]:
        """Where pixels are mainly taken from, in the exemplars that `source` names, and how much from there.

        A match that is spread takes little from the mean of its places, which may be between two eyes. So a place is
        the mean, as the flow has it, where that is in the likeliest cell or in one that touches it, and elsewhere the
        middle of the likeliest cell.

        Args:
            pixels: (x, y) in the result.
            flow: as of `Translation`.
            source: likewise.

        Returns:
            (x, y) in shares of the exemplar's width and height; and how much, in [0, 1], is taken from the likeliest
            cell and those that touch it.
        """
        (x, y), (height, width) = pixels.T, self.frame.picture
        sources, extent = source[y, x], torch.tensor([width, height])
        cells = _cell_at((pixels + 0.5).double() / extent, self.frame, self.grid)
        found = zip(*map(self._likeliest, range(len(self.grids))), strict=True)
        likeliest, near = (torch.stack(one)[sources, cells] for one in found)
        sides, canvas, corner = (
            torch.tensor([getattr(one, name)[::-1] for one in self.exemplars])
            for name in ("picture", "canvas", "corner")
        )
        cell = (canvas / torch.tensor([grid[::-1] for grid in self.grids]))[sources]
        beside = torch.stack([sides[:, 0].cumsum(0) - sides[:, 0], torch.zeros(len(sides))], 1)[sources]
        sides, corner = sides[sources], corner[sources]
        mean = (pixels + flow[:, y, x].T - beside + 0.5).clamp(min=0).minimum(sides)
        middle = ((likeliest + 0.5) * cell - corner).clamp(min=0).minimum(sides)
        apart = (((mean + corner) / cell - 0.5 - likeliest).abs() > 1.5).any(1, keepdim=True)
        return torch.where(apart, middle, mean) / sides, near

    def _likeliest(self, exemplar: int) -> tuple[Int[Tensor, "n 2"], Float[Tensor, " n"]]:
        """The cell (x, y) of an exemplar that each row takes most from, and how much from it and those beside it."""
        first, (height, width) = self._first(exemplar), self.grids[exemplar]
        columns = self.columns - first
        shares = torch.where((columns >= 0) & (columns < height * width), self.shares, 0)
        places = torch.stack([columns % width, columns // width], -1)
        best = places[torch.arange(len(places)), shares.argmax(1)]
        near = ((places - best[:, None]).abs() <= 1).all(-1)
        return best, (shares * near).sum(1)

    def _first(self, exemplar: int) -> int:
        return sum(height * width for height, width in self.grids[:exemplar])


def match_rows(
    match: Match, number: int, frame: Frame, exemplars: tuple[Frame, ...], like: Float[Tensor, "b _ _ _"]
) -> MatchRows:
    """List the rows of one match of a batch.

    Args:
        match: of a condition's cells to an exemplar's, or to several exemplars'.
        number: which of the batch, from 0.
        frame: of the condition.
        exemplars: frames of the exemplars.
        like: gives batch, device and precision.
    """
    matches = match.matches if isinstance(match, MultiExemplarMatch) else (match,)
    grids = tuple(one.transpose().grid for one in matches if not isinstance(one, GivenMatch))
    firsts = [sum(height * width for height, width in grids[:i]) for i in range(len(grids))]
    cells = sum(height * width for height, width in grids)
    rows = match.grid[0] * match.grid[1]
    kept = min(cells, max(FEWEST, LISTED // rows))
    best = like.new_zeros(rows, 0)
    columns = torch.zeros(rows, 0, dtype=torch.long, device=like.device)
    with torch.no_grad():
        for i, one in enumerate(matches):
            exemplar = one.exemplar if isinstance(one, GivenMatch) else i
            if exemplar is None:  # colours
                continue
            share = match.shares[i][number].flatten()[:, None] if isinstance(match, MultiExemplarMatch) else 1.0
            for numbers, taken in _columns(one, number, like):
                more = (numbers + firsts[exemplar]).expand(rows, -1)
                best, order = torch.cat([best, share * taken], 1).sort(dim=1, descending=True, stable=True)
                columns = torch.cat([columns, more], 1).gather(1, order)[:, :kept]
                best = best[:, :kept]
        error = cycle_error(match)[0]
    error = error[number if len(error) > 1 else 0, 0]
    return MatchRows(frame, exemplars, grids, columns.cpu(), best.float().cpu().clamp(0, 1), error.float().cpu())


def _columns(match: Match, number: int, like: Tensor) -> Iterator[tuple[Int[Tensor, " k"], Float[Tensor, "n k"]]]:
    """Numbers of an exemplar's cells, some at a time, and how much each of the condition's cells takes from them."""
    height, width = match.transpose().grid
    for numbers in torch.arange(height * width, device=like.device).split(_AT_ONCE):
        one_hot = F.one_hot(numbers, height * width).to(like).view(1, len(numbers), height, width)
        yield numbers, match.apply(one_hot.expand(len(like), -1, -1, -1))[number].flatten(1).T


def _cell_at(places: Float[Tensor, "n 2"], frame: Frame, grid: tuple[int, int]) -> Int[Tensor, " n"]:
    """The cells of a grid on a frame's canvas, read row by row, that places (x, y) in shares of its picture lie in."""
    (height, width), (top, left) = frame.picture, frame.corner
    column = ((places[:, 0] * width + left) * grid[1] / frame.canvas[1]).long().clamp(0, grid[1] - 1)
    row = ((places[:, 1] * height + top) * grid[0] / frame.canvas[0]).long().clamp(0, grid[0] - 1)
    return row * grid[1] + column


def _on_picture(values: Float[Tensor, "h w"], frame: Frame) -> Float[Tensor, "Y X"]:
    """Values of cells at each pixel of the picture that they cover."""
    return frame.crop(F.interpolate(values[None, None], frame.canvas, mode="nearest-exact"))[0, 0]
