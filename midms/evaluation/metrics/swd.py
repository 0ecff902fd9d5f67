"""Sliced Wasserstein distance of two sets of pictures, as PGGAN measures it."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from midms.core.limits import int_range
from midms.core.metrics import Compared, MetricError
from midms.core.types import cells
from midms.evaluation.metrics.kept import Kept, draw_number
from midms.evaluation.metrics.kernel import check_enough
from midms.images import resize

_COARSEST, _SIDE = 16, 7
"""Pixels a side of the pyramid's last level, and of a patch."""
_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def _blurred(x: Tensor, gain: float = 1.0) -> Tensor:
    row = x.new_tensor(_BINOMIAL) / 16
    kernel = (gain * torch.outer(row, row)).expand(x.shape[1], 1, 5, 5)
    padded = F.pad(x, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(padded, kernel, groups=x.shape[1])


def laplacian_pyramid(pictures: Float[Tensor, "b 3 s s"]) -> list[Float[Tensor, "b 3 _ _"]]:
    """Differences of each level from the next, enlarged; the last level, of 16 pixels a side, as it is."""
    levels = [pictures]
    while levels[-1].shape[-1] > _COARSEST:
        smaller = _blurred(levels[-1])[..., ::2, ::2]
        spread = smaller.new_zeros(levels[-1].shape)
        spread[..., ::2, ::2] = smaller
        levels[-1] = levels[-1] - _blurred(spread, 4.0)
        levels.append(smaller)
    return levels


def sliced_wasserstein(
    one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], projections: int, repeats: int, seed: int
) -> float:
    """Mean 1-Wasserstein distance of two sets of points on random lines (Rabin et al. 2011)."""
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(repeats):
        lines = F.normalize(torch.randn(one.shape[1], projections, generator=generator), dim=0)
        sides = ((points @ lines.to(points)).sort(dim=0).values for points in (one, other))
        found.append((next(sides) - next(sides)).abs().mean())
    return float(torch.stack(found).mean())


class SlicedWasserstein:
    """Sliced Wasserstein distance of patches of a Laplacian pyramid (Karras et al. 2018, arXiv:1710.10196, sec. 5).

    128 patches of 7 x 7 pixels a picture and level, less their mean and over their deviation channel by channel, on 4
    times 128 random lines; times 1000, as PGGAN prints it. It compares equally many pictures of each set.

    To choose for texture, without a network.

    Args:
        size: pixels a side, a power of two, to which pictures are squeezed first.
        pictures: how many of each set are kept, chosen by their names; PGGAN takes 8192, which take 6 GB.
        patches: of each picture.
        projections: random lines.
        repeats: how many times so many.
        seed: of the lines, and with a picture's name of its patches.

    Raises:
        OutOfLimits: one is no such number.
        MetricError: size is no power of two.
    """

    needs, ideal = ("result", "real"), 0.0

    def __init__(
        self,
        size: int = 256,
        pictures: int = 1024,
        patches: int = 128,
        projections: int = 128,
        repeats: int = 4,
        seed: int = 0,
    ) -> None:
        int_range(_COARSEST, 1024, size=size)
        int_range(1, 10**5, pictures=pictures, patches=patches, projections=projections, repeats=repeats)
        int_range(0, 2**62, seed=seed)
        if size & (size - 1):
            raise MetricError(f"size must be a power of two, got {size}")
        self.size, self.patches, self.projections, self.repeats, self.seed = size, patches, projections, repeats, seed
        sides = [size >> i for i in range(size.bit_length()) if size >> i >= _COARSEST]
        self._kept = {name: {side: Kept(pictures, seed) for side in sides} for name in self.needs}

    def update(self, batch: Compared) -> None:
        """Cut patches out of the pictures that are kept."""
        for kind, levels in self._kept.items():
            if (pictures := getattr(batch, kind)) is None:
                continue
            chosen = [i for i, key in enumerate(batch.keys) if levels[self.size].wants(key)]
            if not chosen:
                continue
            keys = [batch.keys[i] for i in chosen]
            names = [hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in _bytes(pictures[chosen])]
            numbers = (resize(pictures[chosen].float().clamp(-1, 1), (self.size, self.size)) + 1) * 127.5
            for side, level in zip(levels, laplacian_pyramid(numbers), strict=True):
                levels[side].add(keys, [self._cut(one, name) for one, name in zip(level, names, strict=True)])

    def _cut(self, level: Float[Tensor, "3 s s"], name: str) -> Float[Tensor, "p 3 7 7"]:
        """Patches at places that follow from seed and name."""
        side = level.shape[-1]
        generator = torch.Generator().manual_seed(draw_number(f"{name} {side}", self.seed))
        corners = torch.randint(side - _SIDE + 1, (2, self.patches, 1, 1), generator=generator)
        (x, y) = (place.long() for place in cells(_SIDE, _SIDE, corners.float())[0])
        return level.cpu()[:, corners[1] + y, corners[0] + x].movedim(1, 0)

    def compute(self) -> dict[str, float]:
        """A figure for each level of the pyramid, and their mean."""
        found = {}
        for side in self._kept["result"]:
            level = {name: levels[side] for name, levels in self._kept.items()}
            check_enough(level, 1)
            count = min(map(len, level.values()))
            points = (_normalised(kept.rows(count).flatten(0, 1)) for kept in level.values())
            distance = sliced_wasserstein(next(points), next(points), self.projections, self.repeats, self.seed)
            found[f"SWD of {side} pixels"] = 1000 * distance
        return {f"SWD at {self.size}": sum(found.values()) / len(found)} | found


def _bytes(pictures: Float[Tensor, "b 3 _ _"]) -> UInt8[Tensor, "b 3 _ _"]:
    """As files have them; names of pictures that a copy has too, and no other, unlike those of files."""
    return ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().byte().cpu()


def _normalised(patches: Float[Tensor, "n 3 7 7"]) -> Float[Tensor, "n d"]:
    """Each channel less its mean and over its deviation."""
    mean = patches.mean((0, 2, 3), keepdim=True)
    deviation = patches.std((0, 2, 3), keepdim=True, correction=0).clamp(min=1e-8)
    return ((patches - mean) / deviation).flatten(1)
