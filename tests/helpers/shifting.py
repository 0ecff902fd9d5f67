"""A pipeline whose answer is known: the warp is a shift of the exemplar, and nothing else happens."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from midms.conditions.sketch import Sketch
from midms.core.types import Context, Features, Level
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.pipeline.pipeline import Pipeline

SHIFT = 2
"""Cells by which the exemplar lies to the right of the condition."""


@dataclass(frozen=True)
class Shifted:
    """Takes each cell from `shift` cells further right, on grids of any size; x and y scale with the grids."""

    grid: tuple[int, int]
    other: tuple[int, int]
    shift: int = SHIFT

    def apply(self, values: Tensor) -> Tensor:
        h, w = self.grid
        y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        x = x + 2 * self.shift / max(self.other[1] - 1, 1)
        grid = torch.stack([x, y], -1).to(values).expand(len(values), -1, -1, -1)
        return F.grid_sample(values, grid, padding_mode="border", align_corners=True)

    def transpose(self) -> Shifted:
        return Shifted(self.other, self.grid, -self.shift)

    def similarity(self) -> Tensor:
        return torch.ones(1, 1, *self.grid)


class Shifter:
    def __call__(self, query: Tensor, key: Tensor) -> Shifted:
        return Shifted((query.shape[2], query.shape[3]), (key.shape[2], key.shape[3]))


class Pooled:
    """Latents are averages of 4 x 4 pixels."""

    stride = 4

    def encode(self, image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 4)

    def decode(self, latent: Tensor) -> Tensor:
        return F.interpolate(latent, scale_factor=4, mode="nearest")


class Plain:
    def condition(self, condition: Tensor) -> Features:
        pooled = F.avg_pool2d(condition, 4)
        return Features(pooled, pooled)

    def exemplar(self, latent: Tensor, condition: Tensor) -> Features:
        return Features(latent, latent)

    def rematch_query(self, x0: Tensor, condition: Features) -> Tensor:
        return x0


class LeftTrusted:
    def __call__(self, match: Shifted) -> Float[Tensor, "b 1 h w"]:
        weight = torch.zeros(1, 1, *match.grid)
        weight[..., : match.grid[1] // 2] = 1
        return weight


class Warped(nn.Module):
    """Predicts the warp, whatever the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, level: Level, context: Context) -> Tensor:
        return self.gain * context.warp


@dataclass(frozen=True)
class Shifting(Pipeline):
    """The loop with the parts above."""

    condition: Sketch = field(default_factory=Sketch)
    features: Plain = field(default_factory=Plain)
    matcher: Shifter = field(default_factory=Shifter)
    confidence: LeftTrusted = field(default_factory=LeftTrusted)
    denoiser: Warped = field(default_factory=Warped)
    sampler: DDIM = field(default_factory=lambda: DDIM(noise_levels((700, 350))))
    autoencoder: Pooled = field(default_factory=Pooled)
