"""The records that travel between parts. Frozen, small, every shape declared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

NoiseFn = Callable[[tuple[int, ...]], Tensor]
"""Asked for each Gaussian draw in order: shape in, standard normals out."""
Noise = torch.Generator | Sequence[torch.Generator] | NoiseFn | None
"""A generator for a batch, or one for each of its pictures; a draw of one's own; None for PyTorch's generator."""
CropFn = Callable[[tuple[float, float, float, float]], Tensor | None]
"""Asked for a crop of a drawing, (top, left, bottom, right) as shares of its sides: what it becomes by itself, with the
same exemplars, as [1 3 y x]; None where nothing is drawn in it."""
Fit = Callable[[tuple[int, int]], tuple[int, int]]
"""From a picture's height and width to those it should be brought to."""


@dataclass(frozen=True)
class Page:
    """A drawing taken out of a picture of it.

    Attributes:
        picture: the drawing, in [-1, 1].
        home: homography from its (x, y, 1), pixels counted from 0, to those of the picture that it was taken from.
        warnings: what may have been read wrongly, a line each.
    """

    picture: Float[Tensor, "1 3 y x"]
    home: Float[Tensor, "3 3"]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A result at the size that its finisher gives it, as layers.

    Attributes:
        colours: in [-1, 1], without lines.
        lines: colour in [-1, 1] and opacity in [0, 1] of what lies on them; None for no lines.
        regions: the number of each pixel's region, from 1; None where there are none.
        warnings: what a person should know of it, a line each.
    """

    colours: Float[Tensor, "1 3 Y X"]
    lines: Float[Tensor, "1 4 Y X"] | None = None
    regions: Int[Tensor, "1 Y X"] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def image(self) -> Float[Tensor, "1 3 Y X"]:
        """The lines on the colours."""
        if self.lines is None:
            return self.colours
        return torch.lerp(self.colours, self.lines[:, :3], self.lines[:, 3:])


def scaling(across: float, down: float) -> Float[Tensor, "3 3"]:
    """The homography from the pixels of a picture to those of one so many times as wide and high."""
    rows = [[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


@dataclass(frozen=True)
class Features:
    """What a feature extractor knows of one picture or condition.

    Attributes:
        initial: unit-norm features that the initial match compares.
        rematch: what re-matching needs: of a condition, what guides `rematch_query`; of an exemplar, the unit-norm key
            that the features of `rematch_query` are compared with.
        encoded: what an encoder gave before it was projected or normalised, if there is one: MIDMs trains the encoders
            of conditions and pictures to agree in it.
    """

    initial: Float[Tensor, "b d h w"]
    rematch: Float[Tensor, "b e h2 w2"]
    encoded: Float[Tensor, "b f h3 w3"] | None = None


@dataclass(frozen=True)
class Level:
    """One noise level: x = alpha * x0 + sigma * eps.

    Attributes:
        index: position in the sampler's list, 0 is the noisiest.
        timestep: what the network gets.
        alpha: share of x0, sqrt of Ho's cumulative alpha; one minus sigma in a rectified flow.
        sigma: share of the noise, sqrt of one minus the cumulative alpha.
    """

    index: int
    timestep: float
    alpha: float
    sigma: float

    def add_noise(self, x0: Float[Tensor, "b c h w"], draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """A clean latent at this level, with a fresh eps; nothing is drawn where sigma is 0."""
        if not self.sigma:
            return self.alpha * x0
        return self.alpha * x0 + self.sigma * draw(tuple(x0.shape)).to(x0)


@dataclass(frozen=True, repr=False)
class Levels(Sequence[Level]):
    """The noise levels that a sampler walks through: a sequence of `Level`.

    Attributes:
        items: from the noisiest to the cleanest, numbered from 0.
        start: to which a clean latent is brought before the first step; None for the first level. The released MIDMs
            starts noisier than it tells the network.
        schedule: where alpha and sigma come from, to be shown: the name of a schedule, or its betas.
    """

    items: tuple[Level, ...]
    start: Level | None = None
    schedule: str | tuple[float, ...] = ""

    @property
    def timesteps(self) -> tuple[float, ...]:
        """What the network gets at each level."""
        return tuple(level.timestep for level in self.items)

    def add_noise(self, x0: Float[Tensor, "b c h w"], draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """A clean latent brought to where sampling starts."""
        return (self.start or self.items[0]).add_noise(x0, draw)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Level: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Level, ...]: ...
    def __getitem__(self, index: int | slice) -> Level | tuple[Level, ...]:
        return self.items[index]

    def __repr__(self) -> str:
        start = self.start and self.start.timestep
        return f"Levels(timesteps={self.timesteps}, schedule={self.schedule!r}, start={start})"


DenoiseFn = Callable[[Tensor, Level], Tensor]
"""A denoiser as a sampler calls it, all else that it needs being given: x and its level in, x0 out."""


@dataclass(frozen=True)
class Prompt:
    """The prompts of a text-to-image model.

    Attributes:
        text: what the picture shall show.
        negative: what it shall not.
        guidance: how far to go from the negative prompt to the positive one; None for what the family takes usually.
    """

    text: str = ""
    negative: str = ""
    guidance: float | None = None

    @property
    def given(self) -> str:
        """What the first of them that is given is called as an argument; nothing if none is."""
        named = {"prompt": self.text, "negative_prompt": self.negative, "guidance": self.guidance}
        return next((name for name, value in named.items() if value not in ("", None)), "")


NO_PROMPT = Prompt()


@dataclass(frozen=True)
class Context:
    """What a conditional denoiser gets beside the noisy latent.

    Attributes:
        warp: the exemplar's latent warped onto the condition's grid by the current match.
        condition: the condition map at picture resolution, in [0, 1].
        confidence: in the warp, in [0, 1].
    """

    warp: Float[Tensor, "b c h w"]
    condition: Float[Tensor, "b k Y X"]
    confidence: Float[Tensor, "b 1 h w"]


@dataclass(frozen=True)
class Step:
    """A diffusion step stopped half way: x0 is predicted, x at the next level is not yet formed.

    Attributes:
        level: at which it stopped.
        x0: the prediction, which may be edited; x = alpha * x0 + sigma * eps moves with it.
        eps: the rest of x, which an edit leaves.
        past: what the sampler wants to know of the levels before, newest first; its own business.
    """

    level: Level
    x0: Float[Tensor, "b c h w"]
    eps: Float[Tensor, "b c h w"]
    past: tuple[Any, ...] = ()

    @property
    def x(self) -> Float[Tensor, "b c h w"]:
        """The latent that x0 and eps stand for: where x0 was edited, x has moved with it."""
        return self.level.alpha * self.x0 + self.level.sigma * self.eps


def white_cells(mask: Float[Tensor, "b 1 Y X"], grid: tuple[int, int]) -> Float[Tensor, "b 1 h w"]:
    """1 for each cell of a grid all of whose pixels are 0.5 at least, else 0; in float32 or better."""
    darkest = F.adaptive_max_pool2d(1 - mask, grid)
    return (darkest <= 0.5).to(torch.promote_types(mask.dtype, torch.float32))


def cells(height: int, width: int, like: Tensor) -> Float[Tensor, "1 2 h w"]:
    """(x, y) of every cell of a grid, counted in cells from 0, on `like`'s device and dtype."""
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=like.dtype),
        torch.arange(width, device=like.device, dtype=like.dtype),
        indexing="ij",
    )
    return torch.stack([x, y])[None]


def rendered(condition: Float[Tensor, "b k Y X"], channels: int = 3) -> Float[Tensor, "b c Y X"]:
    """So many channels of a condition map; where it has fewer, they repeat."""
    return condition[:, torch.arange(channels, device=condition.device) % condition.shape[1]]
