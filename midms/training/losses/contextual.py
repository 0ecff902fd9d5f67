"""The contextual loss, by which a translation has the exemplar's style wherever things lie in it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from midms.core.normalize import l2_normalize

CONTEXT = {"relu5_2": (8.0, 1), "relu4_2": (4.0, 1), "relu3_2": (2.0, 2), "relu2_2": (1.0, 4)}
"""Of layers of VGG the weight, and the side of the squares that activations are averaged over."""
_ENTRIES = 2**22
"""Affinities of a picture that are there at a time."""


def contextual_loss(
    x: Float[Tensor, "b d h w"],
    y: Float[Tensor, "b d h w"],
    bandwidth: float = 0.1,
    least: float = 0.3,
) -> Float[Tensor, ""]:
    """Minus the log of how much each cell of x is like one cell of y alone.

    As CoCosNet (Zhang et al. 2020, arXiv:2004.05571, eq. 9) and MIDMs have it, after Mechrez et al. 2018
    (arXiv:1803.02077, eq. 2-4): the affinity of two cells is softmax_j((1 - d_ij / (min_j d_ij + 0.001)) / bandwidth)
    of their cosine distance d; of each row the largest counts. Both are centred by the mean of y over its channels at
    the same cell. Only some rows of affinities are there at a time, in the backward pass too.

    Args:
        x: activations of a translation.
        y: those of the exemplar; constants if they have no gradient.
        bandwidth: the smaller, the less does a cell share its affinity.
        least: rows whose largest affinity is below do not count; rows of the whole batch are averaged at once.

    Returns:
        At least 0, and 0 without gradient where no row counts.
    """
    mean = y.mean(1, keepdim=True)
    rows, columns = (l2_normalize(activations - mean).flatten(2) for activations in (x, y))
    parts = rows.transpose(1, 2).split(max(1, _ENTRIES // columns.shape[2]), 1)
    found = [checkpoint(_log_affinity, part, columns, bandwidth, use_reentrant=False) for part in parts]
    best = torch.cat(found, 1)
    counted = best.detach() >= math.log(least)
    mean_affinity = (best.exp() * counted).sum() / counted.sum().clamp(min=1)
    return -torch.where(counted.any(), mean_affinity, 1.0).log()


def contextual_losses(x: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> dict[str, Float[Tensor, ""]]:
    """The contextual loss of each layer of `CONTEXT`, weighted; L_ctx of MIDMs is their sum.

    Args:
        x: activations [b c h w] of a translation, by layer.
        y: those of the exemplar.
    """
    return {
        layer: weight * contextual_loss(F.avg_pool2d(x[layer], side), F.avg_pool2d(y[layer], side))
        for layer, (weight, side) in CONTEXT.items()
    }


def _log_affinity(
    rows: Float[Tensor, "b n d"], columns: Float[Tensor, "b d m"], bandwidth: float
) -> Float[Tensor, "b n"]:
    """The log of the largest affinity of each row, that with its nearest column."""
    cosine = rows @ columns
    nearest = cosine.amax(2, keepdim=True)
    return -((cosine - nearest) / (bandwidth * (1 - nearest + 1e-3))).logsumexp(2)
