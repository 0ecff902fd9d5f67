"""3 x 3 convolutions as products of matrices, with as few as a quarter of the multiplications, on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.diffusion.speed import inside

_FEWEST = 64
"""Tiles from which it pays to read a filter that is larger, and has fewer multiplications."""
HELD = 128
"""Tiles that are computed at once: what a cache holds, and enough for a product that keeps a core busy."""
_WIDE = {1: 1 << 18, 2: 1 << 14, 4: 1 << 13}
"""Channels in times out from which tiles are quicker than the usual convolution, which puts its filter in order at each
call; by output pixels a side of a tile."""

# Lavin and Gray 2016 (arXiv:1509.09308, sec. 4): y = A^T ((G g G^T) * (B^T d B)) A. Here are B^T, G and A^T by output
# pixels a side of a tile; with one it is the usual convolution, a product for each place of the filter.
INPUT = {
    1: torch.eye(3).double(),
    2: torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]).double(),
    4: torch.tensor(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ]
    ).double(),
}
FILTER = {
    1: torch.eye(3).double(),
    2: torch.tensor([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]).double() / 2,
    4: torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]).double() / 24,
}
OUTPUT = {
    1: torch.ones(1, 3).double(),
    2: torch.tensor([[1, 1, 1, 0], [0, 1, -1, 1]]).double(),
    4: torch.tensor([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]).double(),
}


def use_winograd(*modules: nn.Module) -> None:
    """Let every 3 x 3 convolution of stride 1 compute F(4 x 4, 3 x 3) of Lavin and Gray 2016.

    On small grids it is F(2 x 2, 3 x 3), on the smallest a product for each place of the filter. For a whole
    composition: `use_winograd(*pipe.modules())`.

    Results differ by rounding: F(4 x 4) rounds some ten times as much as the usual convolution, F(2 x 2) twice.
    Weights are transformed at their first use and held so, with 4, 1.8 or 1 times the memory that they take
    themselves; they are transformed again when they have changed (but for changes through `.data`) or the grid has.
    Where gradients are wanted, in half precision, on a GPU or with few channels a convolution stays what it was.

    Args:
        *modules: are changed; their parameters and the names of these stay.

    Raises:
        Unavailable: nothing given has a convolution.
    """
    for inner in inside(modules, nn.Conv2d):
        if type(inner) is nn.Conv2d and _eligible(inner):
            inner.__class__ = WinogradConv2d


def _eligible(layer: nn.Conv2d) -> bool:
    usual = (layer.kernel_size, layer.stride, layer.dilation, layer.groups) == ((3, 3), (1, 1), (1, 1), 1)
    return usual and layer.padding in ((0, 0), (1, 1)) and isinstance(layer.weight, nn.Parameter)


class WinogradConv2d(nn.Conv2d):
    """A convolution that holds what it transformed its weights to, and which they were."""

    _held: tuple[tuple[int, int, int], Tensor, Tensor] | None = None

    def forward(self, x: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b d H W"]:
        """As `nn.Conv2d`; channels last."""
        border = int(self.padding == (1, 1))
        height, width = (side + 2 * border - 2 for side in x.shape[-2:])
        if min(height, width) < 1 or not self._fits(x):
            return super().forward(x)
        tiles = {side: len(x) * -(-height // side) * -(-width // side) for side in INPUT}
        side = max((side for side in (2, 4) if tiles[side] >= _FEWEST), default=1)
        if self.in_channels * self.out_channels < _WIDE[side]:
            return super().forward(x.contiguous(memory_format=torch.channels_last))
        if border and self.padding_mode != "zeros":
            x, border = F.pad(x, (1, 1, 1, 1), mode=self.padding_mode), 0
        return self._tiled(x, border, side)[..., :height, :width]

    def _fits(self, x: Tensor) -> bool:
        plain = x.ndim == 4 and x.shape[1] == self.in_channels and x.dtype == self.weight.dtype
        precise = x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
        return plain and precise and x.device.type == self.weight.device.type == "cpu" and not torch.is_grad_enabled()

    def _tiled(self, x: Float[Tensor, "b c h w"], border: int, side: int) -> Float[Tensor, "b d H W"]:
        """The convolution: some rows of tiles after the other, or some samples where these are small."""
        filters, seen, height = self._filters(side), side + 2, x.shape[-2]
        gather, spread = (torch.kron(matrix[side], matrix[side]).to(x) for matrix in (INPUT, OUTPUT))
        down, across = (-(-(extent + 2 * border - 2) // side) for extent in x.shape[-2:])
        rows, samples = min(down, max(1, HELD // across)), max(1, HELD // (across * down))
        right = side * across + 2 - border - x.shape[-1]
        result = x.new_empty(len(x), down, side, across, side, self.out_channels)
        for sample in range(0, len(x), samples):
            for row in range(0, down, rows):
                place = result[sample : sample + samples, row : row + rows]
                top, bottom = side * row - border, side * (row + place.shape[1]) - border + 2
                strip = x[sample : sample + samples, :, max(0, top) : bottom]
                strip = F.pad(strip, (border, right, max(0, -top), max(0, bottom - height))).permute(0, 2, 3, 1)
                tiles = strip.unfold(1, seen, side).unfold(2, seen, side).permute(4, 5, 0, 1, 2, 3)
                tiles = gather.mm(tiles.reshape(seen**2, -1)).view(seen**2, -1, self.in_channels)
                made = spread.mm(torch.bmm(tiles, filters).view(seen**2, -1))
                made = made.view(side, side, *place.shape[:2], across, -1).permute(2, 3, 0, 4, 1, 5)
                place.copy_(made) if self.bias is None else torch.add(made, self.bias, out=place)
        return result.view(len(x), side * down, side * across, -1).permute(0, 3, 1, 2)

    def _filters(self, side: int) -> Float[Tensor, "places c d"]:
        weight = self.weight.detach()  # held with what was made of it, so that no other can come to lie where it lies
        made_of = weight.data_ptr(), 0 if weight.is_inference() else weight._version, side
        held = self._held
        if held is None or held[0] != made_of:
            matrix = FILTER[side].to(weight)
            filters = torch.einsum("ai,bj,dcij->abcd", matrix, matrix, weight).flatten(0, 1).contiguous()
            self._held = held = made_of, weight, filters
        return held[2]

    def __getstate__(self) -> dict[str, Any]:
        """Copied and pickled without what follows from the weights."""
        return {**vars(self), "_held": None}
