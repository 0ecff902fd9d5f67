"""What the matching stage is trained with: exact correspondence, visibility, and the paper's weak losses.

Each is the mean over samples of what it is of one, so that a batch may be computed in parts.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from midms.core.flow import return_error
from midms.core.types import cells
from midms.matching.matches.factored import FactoredMatch


def _sample(values: Float[Tensor, "b c h w"], place: Float[Tensor, "b 2 y x"]) -> Float[Tensor, "b c y x"]:
    """Values bilinearly at (x, y) in [-1, 1], where +-1 are the borders of the picture."""
    return F.grid_sample(values, place.permute(0, 2, 3, 1), "bilinear", "border", align_corners=False)


def exact(match: FactoredMatch, flow: Float[Tensor, "b 2 y x"], visible: Bool[Tensor, "b 1 y x"]) -> Float[Tensor, ""]:
    """Cross-entropy of the match with the exact one, in both directions, over visible pixels.

    A pixel's exact counterpart lies between four cells of the exemplar; its target is their bilinear mixture, so that
    the expected position, not only the best cell, becomes right. Nothing of size N x M is formed.

    Args:
        match: from a correlation matcher.
        flow: where pixels lie in the exemplar, in [-1, 1]; as many to each cell of the condition.
        visible: whether the exemplar shows them.
    """
    stride = flow.shape[-1] // match.query.shape[-1]
    query = match.query.repeat_interleave(stride, -1).repeat_interleave(stride, -2)
    positive = match.scale * (query * _sample(match.key, flow)).sum(1, keepdim=True)
    row_mass = match.log_mass().repeat_interleave(stride, -1).repeat_interleave(stride, -2)
    column_mass = _sample(match.transpose().log_mass(), flow)
    return _visible_mean(row_mass + 0.3 * column_mass - 1.3 * positive, visible)


def distance(off: Float[Tensor, "b 2 y x"], visible: Bool[Tensor, "b 1 y x"]) -> Float[Tensor, ""]:
    """Mean city-block distance over visible pixels, of flows that are off by so much."""
    return _visible_mean(off.abs().sum(1, keepdim=True), visible)


def _visible_mean(values: Float[Tensor, "b 1 y x"], visible: Bool[Tensor, "b 1 y x"]) -> Float[Tensor, ""]:
    """The mean over samples of the mean over their visible pixels; 0 where none is visible."""
    weight = visible.float()
    return ((values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1)).mean()


def comes_back(match: FactoredMatch, radius: float) -> Bool[Tensor, "b 1 h w"]:
    """Which cells come back to within `radius` widths of themselves, matched forth and back."""
    back = match.transpose()
    forward, backward = (
        one.apply(cells(*other.grid, match.query).expand(len(match.query), -1, -1, -1))
        for one, other in ((match, back), (back, match))
    )
    return return_error(forward.detach(), backward.detach()) < radius


def domain(
    query: Float[Tensor, "b d h w"],
    truth: Float[Tensor, "b d h w"],
    key: Float[Tensor, "b d H W"],
    match: FactoredMatch,
) -> Float[Tensor, ""]:
    """L_dom of MIDMs: features of the condition and of the picture it describes should be alike.

    Args:
        query: unit features of the condition.
        truth: unit features of the true picture.
        key: unit features of the exemplar, not trained by this term.
        match: condition to exemplar; its warp of the exemplar's features should be alike too.
    """
    scale = query.shape[1] ** 0.5
    return scale * ((query - truth).abs().mean() + (match.apply(key.detach()) - truth).abs().mean())


def cycle_loss(match: FactoredMatch, latent: Float[Tensor, "b c H W"]) -> Float[Tensor, ""]:
    """L_cyc of MIDMs: the exemplar's latent warped forth and back is itself."""
    return F.l1_loss(match.transpose().apply(match.apply(latent)), latent)


def warped_colours(
    match: FactoredMatch, exemplar: Float[Tensor, "b 3 Y X"], target: Float[Tensor, "b 3 y x"]
) -> Float[Tensor, ""]:
    """The exemplar's colours, averaged over each cell and warped, are the target's: L1, of pictures in [-1, 1].

    CoCosNet (Zhang et al. 2020, arXiv:2004.05571) compares the warped exemplar likewise, by features of a VGG.
    """
    columns, rows = (F.adaptive_avg_pool2d(x, one.grid) for x, one in ((exemplar, match.transpose()), (target, match)))
    return F.l1_loss(match.apply(columns), rows)


def reconstruction(to_itself: FactoredMatch, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """L_x0 of MIDMs' warm-up: the true latent, matched to by its own condition, is itself."""
    return F.mse_loss(to_itself.apply(latent), latent)
