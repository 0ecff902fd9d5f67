"""A picture under a smooth random warp that is known exactly: MIDMs' self-exemplar, and its flow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from midms.data.crops import Crop

WAVES = 4
"""Of an elastic warp, across and down in turn."""


@dataclass(frozen=True)
class Warp:
    """A smooth map of the plane whose inverse is known in closed form: an affine map after waves.

    A wave moves each point along one axis by a sine of its place on the other, so that it is undone by the same sine.

    Attributes:
        linear: of the affine map.
        shift: of the affine map.
        waves: amplitude, angular frequency and phase; the first moves across, the next down, and so on.
    """

    linear: Float[Tensor, "2 2"]
    shift: Float[Tensor, " 2"]
    waves: Float[Tensor, "n 3"]

    @classmethod
    def drawn(cls, generator: torch.Generator) -> Warp:
        """A random one, of places in [-1, 1]: turned by up to 15 degrees, a tenth narrower or wider, .77 to 1.3 times
        the size, moved by up to an eighth of the width, with waves of up to .03 of the width.
        """
        angle, size, stretch, across, down, *waves = (
            2 * torch.rand(5 + 3 * WAVES, generator=generator, dtype=torch.float64) - 1
        ).tolist()
        angle, size, stretch = math.radians(15) * angle, 1.3**size, 1.1**stretch
        cos, sin = math.cos(angle) / size, math.sin(angle) / size
        linear = [[cos * stretch, -sin / stretch], [sin * stretch, cos / stretch]]
        table = torch.tensor(waves, dtype=torch.float64, device="cpu").view(WAVES, 3)
        scale, least = torch.tensor([[0.06, 1.5, math.pi], [0, 3.0, 0]], dtype=torch.float64, device="cpu")
        affine = torch.tensor([*linear, [across / 4, down / 4]], dtype=torch.float64, device="cpu")
        return cls(affine[:2], affine[2], table * scale + least)

    def ahead(self, place: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """Where places are moved."""
        x, y = place.unbind(-1)
        for i, wave in enumerate(self.waves):
            x, y = (x + _sine(wave, y), y) if i % 2 == 0 else (x, y + _sine(wave, x))
        return torch.stack([x, y], -1) @ self.linear.T + self.shift

    def back(self, place: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """From where places were moved."""
        x, y = ((place - self.shift) @ torch.linalg.inv(self.linear).T).unbind(-1)
        for i, wave in reversed([*enumerate(self.waves)]):
            x, y = (x - _sine(wave, y), y) if i % 2 == 0 else (x, y - _sine(wave, x))
        return torch.stack([x, y], -1)


def _sine(wave: Float[Tensor, " 3"], at: Tensor) -> Tensor:
    return wave[0] * torch.sin(wave[1] * at + wave[2])


def warped(turned: Float[Tensor, "1 c Y X"], crop: Crop, warp: Warp, mode: str) -> Float[Tensor, "1 c s s"]:
    """What a crop would show of a picture under a warp, by which pixels are looked up; beyond the picture, its mirror.

    Args:
        turned: the whole picture, as `Crop.turned` gives it.
        crop: of it.
        warp: from places of the result to places of the crop.
        mode: "bilinear", or "nearest" for what must not be mixed.
    """
    pixel = (warp.ahead(_places(crop.size)) + 1) * (crop.size / 2) + torch.tensor(crop.corner[::-1], device="cpu")
    sides = torch.tensor(crop.whole[::-1], dtype=torch.float64, device="cpu")
    grid = (2 * pixel / sides - 1)[None].to(turned.dtype)
    return F.grid_sample(turned, grid, mode, "reflection", align_corners=False)


def known_flow(crop: Crop, warp: Warp) -> tuple[Float[Tensor, "1 2 s s"], Bool[Tensor, "1 1 s s"]]:
    """Where each pixel of the crop lies in what `warped` gives, and whether that shows it; see `Pair`."""
    flow = warp.back(_places(crop.size)).permute(2, 0, 1)[None].float()
    return flow, (flow.abs() < 1 - 1 / crop.size).all(1, keepdim=True)


def _places(size: int) -> Float[Tensor, "s s 2"]:
    """(x, y) of pixels' centres in [-1, 1]."""
    line = (torch.arange(size, dtype=torch.float64, device="cpu") + 0.5) * (2 / size) - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
