"""Maps of places: for each cell of one grid an (x, y) in another."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import Match, TwoWay
from midms.core.types import cells


def sample(values: Float[Tensor, "b c H W"], place: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b c h w"]:
    """Values bilinearly at (x, y) in cells; what lies outside takes the border's."""
    sides = place.new_tensor([values.shape[-1], values.shape[-2]]).view(1, 2, 1, 1)
    normalised = (2 * place + 1) / sides - 1
    return F.grid_sample(values, normalised.permute(0, 2, 3, 1), "bilinear", "border", align_corners=False)


def return_error(forward: Float[Tensor, "b 2 h w"], backward: Float[Tensor, "b 2 H W"]) -> Float[Tensor, "b 1 h w"]:
    """How far from itself each cell comes back (MIDMs, arXiv:2209.11047, sec. 3.4; Sundaram et al. 2010).

    The backward map is read where the forward map arrives; the released MIDMs reads the forward map there.

    Args:
        forward: where each cell of the first grid is matched to in the second.
        backward: where each cell of the second is matched to in the first.

    Returns:
        Distances in widths: cells over the longer side of the first grid; infinite where the forward map is NaN.
    """
    h, w = forward.shape[-2:]
    offset = sample(backward, forward) - cells(h, w, forward)
    error = torch.linalg.vector_norm(offset, dim=1, keepdim=True) / max(h, w)
    return error.masked_fill(forward.isnan().any(1, keepdim=True), torch.inf)


def cycle_of_flows(
    forward: Float[Tensor, "b 2 h w"], backward: Float[Tensor, "b 2 H W"], radius: float
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """`return_error`, and 1 where it is under the radius, else 0."""
    error = return_error(forward, backward)
    return error, (error < radius).to(error.dtype)


def cycle_error(match: Match, radius: float = math.inf) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """How far from itself each cell comes back, in widths of the grid, and 1 where that is under the radius, else 0."""
    if isinstance(match, TwoWay):
        return match.cycle(radius)
    like = match.similarity()
    there, here = (cells(*grid, like).expand(len(like), -1, -1, -1) for grid in (match.transpose().grid, match.grid))
    return cycle_of_flows(*both_ways(match, there, here), radius)


def both_ways(
    match: Match, values: Float[Tensor, "b c H W"], back: Float[Tensor, "b e h w"]
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b e H W"]]:
    """The exemplar's values warped to the condition, the condition's back; in one pass where the match knows how."""
    if isinstance(match, TwoWay):
        return match.both(values, back)
    return match.apply(values), match.transpose().apply(back)


def match_flow(match: Match, size: tuple[int, int], like: Float[Tensor, "b ..."]) -> Float[Tensor, "b 2 y x"]:
    """Where each pixel of the condition's picture is matched to in the exemplar's, bilinear between cells.

    Args:
        match: from the condition's cells to the exemplar's.
        size: height and width of the condition's picture.
        like: gives batch, device and dtype.

    Returns:
        (x, y) in [-1, 1] from border to border of the exemplar's picture, y downwards.
    """
    (h, w), (rows, columns), (height, width) = match.grid, match.transpose().grid, size
    ratio = like.new_tensor([columns / w, rows / h]).view(1, 2, 1, 1)
    scale = like.new_tensor([2 / columns, 2 / rows]).view(1, 2, 1, 1)
    here, there = (cells(h, w, like) + 0.5) * ratio - 0.5, cells(rows, columns, like)
    off = (match.apply(there.expand(len(like), -1, -1, -1)) - here) * scale
    off = F.interpolate(off, size=(height, width), mode="bilinear", align_corners=False)
    pixel = (cells(height, width, off) + 0.5) / off.new_tensor([width, height]).view(1, 2, 1, 1)
    return off + pixel * 2 - 1
