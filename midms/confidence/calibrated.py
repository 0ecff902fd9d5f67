"""The probability that a match is right, learnt where the truth is known."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.flow import both_ways, return_error
from midms.core.protocols import Match
from midms.core.types import cells

_NEGLIGIBLE = 1e-3
USUAL = 0.05


class Calibrated(nn.Module):
    """Logistic regression (Platt 1999) on the `evidence` that any match can give.

    Trained on exact visibility, jointly with the features, its cross-entropy also teaches the features to be unlike
    everything where there is nothing to find. Before any training a match of a picture with itself is trusted and a
    random one is not.

    To choose where it can be trained with the features; it then depends on that matcher.
    """

    asks: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([-0.75, 2.0, -2.0, -0.25, -0.25], dtype=torch.float32))
        self.bias = nn.Parameter(torch.tensor(-2.0, dtype=torch.float32))

    def forward(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition, in [0, 1]."""
        logit = (evidence(match) * self.weight[:, None, None]).sum(1, keepdim=True) + self.bias
        return logit.sigmoid()


def evidence(match: Match) -> Float[Tensor, "b 5 h w"]:
    """Five things about each cell of the condition that tell whether its match can be right.

    1. How far from itself it comes back, see `flow.return_error`.
    2. How alike it is to what it is matched to.
    3. How much more alike that is to its own best match: a cell that the exemplar hides lands on another's counterpart.
    4. How spread out the match is: the standard deviation of the place.
    5. How far its flow departs from the mean flow of the 3 x 3 cells around it.

    Lengths are in widths and enter as log((length + 0.001) / 0.05).
    """
    similarity, back = match.similarity(), match.transpose()
    (h, w), (rows, columns) = match.grid, back.grid
    width = max(rows, columns)
    centre = similarity.new_tensor([columns - 1, rows - 1]).view(1, 2, 1, 1) / 2
    place = ((cells(rows, columns, similarity) - centre) / width).expand(len(similarity), -1, -1, -1)
    values = torch.cat([place, place.square().sum(1, keepdim=True), back.similarity()], 1)
    warped, backward = both_ways(match, values, cells(h, w, similarity).expand(len(values), -1, -1, -1))
    mean, square, rival = warped[:, :2], warped[:, 2:3], warped[:, 3:]
    variance = (square - mean.square().sum(1, keepdim=True)).clamp(min=0)
    forward = mean * width + centre
    stretch = similarity.new_tensor([columns / w, rows / h]).view(1, 2, 1, 1)
    flow = forward - cells(h, w, similarity) * stretch
    around = F.avg_pool2d(flow, 3, stride=1, padding=1, count_include_pad=False)
    roughness = torch.linalg.vector_norm(flow - around, dim=1, keepdim=True) / width
    spread = 0.5 * (variance + _NEGLIGIBLE**2).log() - math.log(USUAL)
    return torch.cat(
        [_log(return_error(forward, backward)), similarity, rival - similarity, spread, _log(roughness)], 1
    )


def _log(length: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    return ((length + _NEGLIGIBLE) / USUAL).log()
