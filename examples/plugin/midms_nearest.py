"""Parts in a package of their own: a matcher, by which every cell takes from the one most like it, a condition, a
sampler and a data set.

Of midms only the records are imported that a sampler and a data set give. A match is anything with `grid`, `apply`,
`transpose` and `similarity`, as `midms/core/protocols.py` has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.data.pair import Pair


@dataclass(frozen=True)
class HardMatch:
    """The best column of each row.

    Attributes:
        query: unit features of the condition's cells, [b d h w].
        key: unit features of the exemplar's cells, [b d H W].
    """

    query: Tensor
    key: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.query.shape[2], self.query.shape[3]

    def _best(self) -> tuple[Tensor, Tensor]:
        return torch.einsum("bdi,bdj->bij", self.query.flatten(2), self.key.flatten(2)).max(-1)

    def apply(self, values: Tensor) -> Tensor:
        """Values [b c H W] of the exemplar onto the condition's grid, [b c h w]."""
        best = self._best()[1][:, None].expand(-1, values.shape[1], -1)
        return values.expand(len(self.key), -1, -1, -1).flatten(2).gather(2, best).unflatten(2, self.grid)

    def transpose(self) -> HardMatch:
        """The best row of each column."""
        return HardMatch(self.key, self.query)

    def similarity(self) -> Tensor:
        """Cosine of each cell and what it takes, [b 1 h w]."""
        return self._best()[0].unflatten(1, self.grid)[:, None]


@dataclass(frozen=True)
class Nearest:
    """Nearest neighbours by cosine similarity.

    Cells whose features are zero or not finite are like nothing: they take from the first cell, with similarity 0.
    """

    def __call__(self, query: Tensor, key: Tensor) -> HardMatch:
        """Match features [b d h w] of the condition to features [b d H W] of the exemplar."""
        return HardMatch(_normalize(query), _normalize(key))


def _normalize(x: Tensor) -> Tensor:
    precise = x.to(torch.promote_types(x.dtype, torch.float32))
    precise = torch.where(precise.isfinite().all(1, keepdim=True), precise, 0)
    return torch.nn.functional.normalize(precise, dim=1)


@dataclass(frozen=True)
class Shades:
    """A condition of one channel: how dark a picture is."""

    channels: int = 1

    def drawing(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        """The map [b 1 y x] of a picture [b 3 Y X] in [-1, 1], brought to a size."""
        return torch.nn.functional.interpolate(self.photo(picture), size, mode="area")

    def photo(self, image: Tensor) -> Tensor:
        """The map [b 1 Y X] of a photo [b 3 Y X] in [-1, 1]."""
        return (0.5 - image.mean(1, keepdim=True) / 2).clamp(0, 1)


@dataclass(frozen=True)
class Renoise:
    """The step of DDIM, with a share of the noise drawn anew.

    Attributes:
        levels: of noise; midms makes them from `timesteps`, `schedule` and `start`.
        share: of the variance that is drawn anew, in [0, 1].
    """

    levels: Levels
    share: float = 0.5

    def predict(self, denoise: DenoiseFn, x: Tensor, level: Level, previous: Step | None) -> Step:
        """x0 of a latent x [b c h w], and the eps with which x = alpha * x0 + sigma * eps."""
        x0 = denoise(x, level)
        return Step(level, x0, (x - level.alpha * x0) / level.sigma)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Tensor:
        """x [b c h w] at the next level."""
        fresh = draw(tuple(step.x0.shape)).to(step.x0)
        return to.alpha * step.x0 + to.sigma * ((1 - self.share) ** 0.5 * step.eps + self.share**0.5 * fresh)


@dataclass(frozen=True)
class Tiles:
    """Pictures of random tiles; the exemplar is the same picture rolled to the right, so that the flow is known.

    Attributes:
        split: "train" or "validation".
        size: pixels a side.
    """

    split: str = "train"
    size: int = 64

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(f"tiles are numbered 0 to {len(self) - 1}, got {index}")
        generator = torch.Generator().manual_seed(2 * index + (self.split == "train"))
        tiles = torch.rand(1, 3, 8, 8, generator=generator) * 2 - 1
        target = torch.nn.functional.interpolate(tiles, (self.size, self.size))
        shift = self.size // 8 * int(torch.randint(1, 8, (), generator=generator))
        line = (torch.arange(self.size) + 0.5) / self.size * 2 - 1
        y, x = torch.meshgrid(line, line, indexing="ij")
        flow = torch.stack([x + 2 * shift / self.size, y])[None]
        exemplar, shades = target.roll(shift, -1), Shades()
        return Pair(shades.photo(target), exemplar, target, shades.photo(exemplar), flow, visible=flow[:, :1].abs() < 1)
