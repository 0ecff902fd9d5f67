"""The matching hot path of the released MIDMs, operation by operation, to measure against.

What github.com/KU-CVLAB/MIDMs at 625d88a computes, with the same tensors in memory, in our own words: the n x m
correlation, and a new n x m softmax for every use of it. Its numbers are those of `tests/golden/ops.safetensors`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

TEMPERATURE = 0.005

Correlation = Float[Tensor, "b n m"]


def correlate(q: Float[Tensor, "b d h w"], k: Float[Tensor, "b d H W"]) -> Correlation:
    """Cosine similarity raised to 0."""
    q, k = (F.normalize(x.flatten(2), dim=1) for x in (q, k))
    return torch.bmm(q.transpose(1, 2), k).clamp(min=0)


def warp(correlation: Correlation, values: Float[Tensor, "b c H W"], grid: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """Values of the exemplar on the condition's grid."""
    plan = F.softmax(correlation / TEMPERATURE, dim=-1)
    warped = torch.matmul(plan, values.flatten(2).transpose(1, 2))
    return warped.transpose(1, 2).unflatten(2, grid)


def warp_back(
    correlation: Correlation, values: Float[Tensor, "b c h w"], grid: tuple[int, int]
) -> Float[Tensor, "b c H W"]:
    """Values of the condition on the exemplar's grid, by the transposed correlation."""
    return warp(correlation.transpose(1, 2).contiguous(), values, grid)


def maps(
    correlation: Correlation, grid: tuple[int, int], key_grid: tuple[int, int]
) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 2 H W"]]:
    """Where each side's cells are matched to in the other, as (x, y) in [-1, 1] between the corner cells' centres."""
    forward = F.softmax(correlation / TEMPERATURE, dim=2)
    backward = F.softmax(correlation / TEMPERATURE, dim=1)
    there, here = (_places(*side, correlation) for side in (key_grid, grid))
    to_there = torch.matmul(forward, there).transpose(1, 2).unflatten(2, grid)
    return to_there, torch.matmul(backward.transpose(1, 2), here).transpose(1, 2).unflatten(2, key_grid)


def check(forward: Float[Tensor, "b 2 h w"]) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Its error and its mask: the forward flow is read at its own map, see `midms.confidence.cycle_released`."""
    h, w = forward.shape[-2:]
    place = _places(h, w, forward).T.reshape(1, 2, h, w)
    flow = forward - place
    again = F.grid_sample(flow, forward.permute(0, 2, 3, 1), align_corners=True)
    error = torch.linalg.vector_norm(flow + again, dim=1, keepdim=True)
    raw = (error < 0.5).to(forward)
    share = F.avg_pool2d(raw, 2)
    return error, (F.interpolate(share, (h, w)) > 0.5).to(forward)


def match(
    q: Float[Tensor, "b d h w"],
    k: Float[Tensor, "b d H W"],
    latent: Float[Tensor, "b c H W"],
    labels: Float[Tensor, "b l H W"],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The hot path of one match: latent and labels warped, both maps, the mask of the check."""
    grid, key_grid = (q.shape[-2], q.shape[-1]), (k.shape[-2], k.shape[-1])
    correlation = correlate(q, k)
    warped = warp(correlation, latent, grid), warp(correlation, labels, grid)
    forward, backward = maps(correlation, grid, key_grid)
    return *warped, forward, backward, check(forward)[1]


def _places(h: int, w: int, like: Tensor) -> Float[Tensor, "n 2"]:
    y, x = (torch.linspace(-1, 1, side, device=like.device, dtype=like.dtype) for side in (h, w))
    return torch.stack([x.repeat(h), y.repeat_interleave(w)], 1)
