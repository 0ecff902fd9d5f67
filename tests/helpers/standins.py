"""Small parts that do as the protocols say and nothing more: five latent channels, four pixels a cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from midms.core.protocols import Match
from midms.core.types import Context, Features, Level
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.matching.matchers.correlation import Correlation
from midms.pipeline.pipeline import Pipeline

CHANNELS, STRIDE = 5, 4


def mixture(inputs: int, outputs: int) -> Tensor:
    """A fixed matrix of full rank, as a 1 x 1 convolution."""
    return torch.cos(torch.arange(outputs * inputs, dtype=torch.float64) * 1.7).view(outputs, inputs, 1, 1)


@dataclass(frozen=True)
class Maps:
    """Two channels: how bright and how red."""

    channels: int = 2

    def drawing(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        return self.photo(F.interpolate(picture, size))

    def photo(self, image: Tensor) -> Tensor:
        return torch.cat([image.mean(1, keepdim=True), image[:, :1]], 1) / 2 + 0.5


@dataclass(frozen=True)
class Pooled:
    """Means of cells, mixed to five channels; and back, blurred."""

    channels: int = CHANNELS
    stride: int = STRIDE

    def encode(self, image: Tensor) -> Tensor:
        return F.conv2d(F.avg_pool2d(image, STRIDE), mixture(3, CHANNELS).to(image))

    def decode(self, latent: Tensor) -> Tensor:
        return F.interpolate(F.conv2d(latent, mixture(CHANNELS, 3).to(latent)), scale_factor=float(STRIDE))


@dataclass(frozen=True)
class Mixed:
    """Linear features of seven dimensions, a different mixture in each domain."""

    latent_channels: int = CHANNELS
    condition_channels: int = 2

    def condition(self, condition: Tensor) -> Features:
        pooled = F.avg_pool2d(condition, STRIDE)
        return Features(self._mix(pooled), pooled)

    def exemplar(self, latent: Tensor, condition: Tensor) -> Features:
        both = torch.cat([latent, F.avg_pool2d(condition, STRIDE)], 1)
        return Features(self._mix(both), self._mix(both.flip(1)))

    def rematch_query(self, x0: Tensor, condition: Features) -> Tensor:
        return self._mix(torch.cat([x0, condition.rematch], 1))

    def _mix(self, x: Tensor) -> Tensor:
        return F.normalize(F.conv2d(x, mixture(x.shape[1], 7).to(x)), dim=1)


def pictures(seed: int = 0, batch: int = 2) -> tuple[Tensor, Tensor]:
    """A condition of 16 x 24 pixels, an exemplar of 20 x 12."""
    numbers = torch.Generator().manual_seed(seed)
    condition = torch.rand(batch, 2, 16, 24, generator=numbers, dtype=torch.float64)
    return condition, torch.rand(batch, 3, 20, 12, generator=numbers, dtype=torch.float64) * 2 - 1


class Recorder:
    """Draws that can be asked for again."""

    def __init__(self, seed: int = 0) -> None:
        self.numbers = torch.Generator().manual_seed(seed)
        self.drawn: list[Tensor] = []

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        self.drawn.append(torch.randn(shape, generator=self.numbers, dtype=torch.float64))
        return self.drawn[-1]


def iter_draws(drawn: list[Tensor]) -> Callable[[tuple[int, ...]], Tensor]:
    noises = iter(drawn)
    return lambda shape: next(noises)


class Alike:
    """The confidence is how alike the matched features are."""

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        return match.similarity() / 2 + 0.5


class Looking(nn.Module):
    """A denoiser that looks at everything it is given."""

    channels = CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, x: Tensor, level: Level, context: Context) -> Tensor:
        folded = F.avg_pool2d(context.condition, STRIDE).mean(1, keepdim=True)
        guess = self.gain * x * level.alpha + torch.tanh(context.warp + folded) + level.timestep / 1000
        return context.confidence * context.warp + (1 - context.confidence) * guess


@dataclass(frozen=True, repr=False)
class ToyPipeline(Pipeline):
    """The loop with the parts above."""

    condition: Maps = field(default_factory=Maps)
    features: Mixed = field(default_factory=Mixed)
    matcher: Correlation = field(default_factory=lambda: Correlation(0.1))
    confidence: Alike = field(default_factory=Alike)
    denoiser: Looking = field(default_factory=Looking)
    sampler: DDIM = field(default_factory=lambda: DDIM(noise_levels((600, 400, 200))))
    autoencoder: Pooled = field(default_factory=Pooled)
    size: int = 16
