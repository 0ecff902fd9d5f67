"""3 x 3 convolutions with a quarter of the multiplications, for inference on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

TILE, SEEN = 4, 6
"""Output pixels a side of a tile, and the input pixels that they see."""
FEWEST = 16
"""Tiles below which the usual convolution is quicker."""
HELD = 1 << 15
"""Tiles times channels that are transformed at once: what a core's cache holds."""

# Lavin and Gray 2016 (arXiv:1509.09308, sec. 4.3): y = A^T ((G g G^T) * (B^T d B)) A
FILTER = torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]).double() / 24
INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
).double()
OUTPUT = torch.tensor([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]).double()


def use_winograd(*modules: nn.Module) -> None:
    """Let every 3 x 3 convolution of stride 1 compute F(4 x 4, 3 x 3) of Lavin and Gray 2016.

    For a whole composition: `use_winograd(*run.modules())`.

    Results differ by rounding, about ten times that of the usual convolution. Weights of those convolutions take five
    times the memory, from their first use on. Where gradients are wanted, in half precision, on a GPU or on small grids
    a convolution stays what it was.

    Args:
        *modules: are changed; their parameters and the names of these stay.
    """
    for module in modules:
        for inner in module.modules():
            if type(inner) is nn.Conv2d and _eligible(inner):
                inner.__class__ = WinogradConv2d


def _eligible(layer: nn.Conv2d) -> bool:
    same = (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
    return same and layer.kernel_size == (3, 3) and layer.padding in ((0, 0), (1, 1))


class WinogradConv2d(nn.Conv2d):
    """A convolution that transforms its weights when it first needs them so, and again when they have changed."""

    transformed: Tensor | None = None
    _of: tuple[int, int, torch.dtype] | None = None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        """As `nn.Conv2d`."""
        border = int(self.padding == (1, 1))
        height, width = (side + 2 * border - 2 for side in x.shape[-2:])
        down, across = -(-height // TILE), -(-width // TILE)
        precise = x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
        if torch.is_grad_enabled() or x.device.type != "cpu" or not precise or down * across < FEWEST:
            return super().forward(x)
        weight = (self.weight.data_ptr(), self.weight._version, x.dtype)
        if weight != self._of:
            self.transformed, self._of = _filters(self.weight.to(x.dtype)), weight
        if border and self.padding_mode != "zeros":
            x, border = F.pad(x, (1, 1, 1, 1), mode=self.padding_mode), 0
        x = F.pad(x, (border, border + TILE * across - width, border, border + TILE * down - height))
        return self._tiled(x, down, across)[..., :height, :width]

    def _tiled(self, padded: Float[Tensor, "b c h w"], down: int, across: int) -> Float[Tensor, "b d H W"]:
        """The convolution of what has been padded, channels last: some rows of tiles after the other."""
        assert self.transformed is not None
        filters, channels, outputs = self.transformed, self.in_channels, self.out_channels
        pixels = padded.permute(0, 2, 3, 1).contiguous()
        gather, spread = (torch.kron(matrix, matrix).to(pixels) for matrix in (INPUT, OUTPUT))
        line = pixels.shape[2] * channels
        result = pixels.new_empty(len(pixels), down, TILE, across, TILE, outputs)
        rows = max(1, HELD // (across * max(channels, outputs)))
        for sample in range(len(pixels)):
            for top in range(0, down, rows):
                count = min(rows, down - top)
                tiles = pixels[sample, TILE * top :].as_strided(
                    (SEEN, SEEN, count, across, channels),
                    (line, channels, TILE * line, TILE * channels, 1),
                )
                seen = gather.mm(tiles.reshape(SEEN**2, -1)).view(SEEN**2, -1, channels)
                made = spread.mm(torch.bmm(seen, filters).view(SEEN**2, -1))
                made = made.view(TILE, TILE, count, across, outputs).permute(2, 0, 3, 1, 4)
                place = result[sample, top : top + count]
                place.copy_(made) if self.bias is None else torch.add(made, self.bias, out=place)
        return result.view(len(pixels), TILE * down, TILE * across, outputs).permute(0, 3, 1, 2)


def _filters(weight: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "36 c d"]:
    matrix = FILTER.to(weight)
    return torch.einsum("ai,bj,dcij->abcd", matrix, matrix, weight).reshape(SEEN**2, weight.shape[1], -1).contiguous()
