"""A hand that sketches a portrait: the borders of its parts, wobbly, with gaps, in pens of different widths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Hand:
    """How a sketch departs from the exact borders.

    Attributes:
        wobble: largest displacement of a stroke, in widths of the picture.
        coarseness: how many independent wobbles a side of the picture.
        gaps: share of the stroke length left out.
        pens: widths of the pen, in 128ths of the picture; each sketch takes one.
    """

    wobble: float = 0.01
    coarseness: int = 10
    gaps: float = 0.06
    pens: tuple[float, ...] = (1, 2)


STEADY = Hand()
"""The hand of the training sketches."""
UNSTEADY = Hand(wobble=0.028, coarseness=6, gaps=0.2, pens=(2, 4, 6))
"""A hand unlike the training strokes: clumsy, interrupted, with a broad pen."""


def sketch(parts: Int[Tensor, "b y x"], hand: Hand, generator: torch.Generator) -> Float[Tensor, "b 1 y x"]:
    """Ink in [0, 1] along the borders of the parts, as `hand` would draw them."""
    b, size = len(parts), parts.shape[-1]
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    cells = hand.coarseness

    def field(channels: int) -> Tensor:
        rough = torch.rand(b, channels, cells, cells, generator=generator)
        return F.interpolate(rough, size=(size, size), mode="bicubic", align_corners=False)

    shift = (field(2) - 0.5) * 4 * hand.wobble
    wobbly = F.grid_sample(
        parts[:, None].float().cpu(), grid + shift.permute(0, 2, 3, 1), "nearest", "border", align_corners=False
    )
    ink = (
        borders(wobbly)
        * (torch.rand(b, 1, 2 * cells, 2 * cells, generator=generator) >= hand.gaps)
        .float()
        .repeat_interleave(-(-size // (2 * cells)), -1)
        .repeat_interleave(-(-size // (2 * cells)), -2)[..., :size, :size]
    )
    pen = torch.tensor(hand.pens)[torch.randint(len(hand.pens), (b,), generator=generator)]
    widths = (pen * size / 128).round().long().clamp(min=1)
    return thickened(ink, widths).to(parts.device)


def borders(parts: Shaped[Tensor, "b 1 y x"]) -> Float[Tensor, "b 1 y x"]:
    """1 where the pixel to the right or below is of another part, else 0."""
    ink = torch.zeros(parts.shape, device=parts.device)
    ink[..., :-1] = (parts[..., 1:] != parts[..., :-1]).float()
    ink[..., :-1, :] = torch.maximum(ink[..., :-1, :], (parts[..., 1:, :] != parts[..., :-1, :]).float())
    return ink


def thickened(ink: Float[Tensor, "b 1 y x"], widths: Int[Tensor, " b"]) -> Float[Tensor, "b 1 y x"]:
    """Lines of one pixel as lines of so many."""
    drawn = [
        F.max_pool2d(F.pad(one, _margins(int(width))), int(width), 1)
        for one, width in zip(ink.split(1), widths, strict=True)
    ]
    return torch.cat(drawn)


def _margins(width: int) -> tuple[int, int, int, int]:
    before = (width - 1) // 2
    after = width - 1 - before
    return before, after, before, after
