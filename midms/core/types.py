"""The records that travel between parts. Frozen, small, every shape declared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from midms.core.protocols import Match

NoiseFn = Callable[[tuple[int, ...]], Tensor]
"""Asked for each Gaussian draw in order: shape in, standard normals out."""
Noise = torch.Generator | Sequence[torch.Generator] | NoiseFn | None
"""A generator for a batch, or one for each of its pictures; a draw of one's own; None for PyTorch's generator."""
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
    """

    initial: Float[Tensor, "b d h w"]
    rematch: Float[Tensor, "b e h2 w2"]


@dataclass(frozen=True)
class Level:
    """One noise level: x = alpha * x0 + sigma * eps.

    Attributes:
        index: position in the sampler's list, 0 is the noisiest.
        timestep: what the network is told.
        alpha: share of x0, sqrt of Ho's cumulative alpha; one minus sigma in a rectified flow.
        sigma: share of the noise, sqrt of one minus the cumulative alpha.
    """

    index: int
    timestep: float
    alpha: float
    sigma: float


@dataclass(frozen=True)
class Context:
    """What a conditional denoiser may look at beside the noisy latent.

    Attributes:
        warp: the exemplar's latent carried onto the condition's grid by the current match.
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


@dataclass(frozen=True)
class Moment:
    """What the loop knew at one level, after any re-matching.

    Attributes:
        step: the half step, its x0 already as the policy edits it.
        match: the match in force.
        warp: the exemplar's latent under that match.
        confidence: in it, as it was estimated, in [0, 1]; before the policy's style.
        rematched: whether the match was made at this level.
        stage: "loop", or "refine" for the last pass.
    """

    step: Step
    match: Match
    warp: Float[Tensor, "b c h w"]
    confidence: Float[Tensor, "b 1 h w"]
    rematched: bool
    stage: str = "loop"


def cells(height: int, width: int, like: Tensor) -> Float[Tensor, "1 2 h w"]:
    """(x, y) of every cell of a grid, counted in cells from 0, on `like`'s device and dtype."""
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=like.dtype),
        torch.arange(width, device=like.device, dtype=like.dtype),
        indexing="ij",
    )
    return torch.stack([x, y])[None]
