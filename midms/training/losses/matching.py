"""What the matching stage is trained with: exact correspondence, visibility, and MIDMs' weak losses.

Each is the mean over samples of what it is of one, so that a batch may be computed in parts.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from midms.matching.matches.factored import FactoredMatch

_ALIKE = 0.15
"""How far colours in [-1, 1] may be apart to count as one."""
_ABSENT = 0.01
"""The probability that is taken for granted, so that colours that the exemplar does not have teach nothing."""


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
    log_rows = match.log_row_sums().repeat_interleave(stride, -1).repeat_interleave(stride, -2)
    log_columns = _sample(match.transpose().log_row_sums(), flow)
    return _visible_mean(log_rows + 0.3 * log_columns - 1.3 * positive, visible)


def distance(off: Float[Tensor, "b 2 y x"], visible: Bool[Tensor, "b 1 y x"]) -> Float[Tensor, ""]:
    """Mean city-block distance over visible pixels, of flows that are off by so much."""
    return _visible_mean(off.abs().sum(1, keepdim=True), visible)


def _visible_mean(values: Float[Tensor, "b 1 y x"], visible: Bool[Tensor, "b 1 y x"]) -> Float[Tensor, ""]:
    """The mean over samples of the mean over their visible pixels; 0 where none is visible."""
    weight = visible.float()
    return ((values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1)).mean()


def right_colours(
    match: FactoredMatch, exemplar: Float[Tensor, "b 3 Y X"], target: Float[Tensor, "b 3 y x"]
) -> Bool[Tensor, "b 1 h w"]:
    """Which cells get the target's colour from the exemplar, to a tenth of the range of each channel."""
    columns, rows = _cell_colours(match, exemplar, target)
    return (match.apply(columns).detach() - rows).abs().amax(1, keepdim=True) < 0.2


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
    columns, rows = _cell_colours(match, exemplar, target)
    return F.l1_loss(match.apply(columns), rows)


def palette(
    match: FactoredMatch, exemplar: Float[Tensor, "b 3 Y X"], target: Float[Tensor, "b 3 y x"]
) -> Float[Tensor, ""]:
    """Minus the log of the probability that a cell takes from cells of the target's colour.

    A cross-entropy where what is right is a colour, wherever in the exemplar it is; how alike two colours are is
    a Gaussian whose deviation s is `_ALIKE`. With p[i, j] the softmax of the logits l[i, j],
    log sum_j p[i, j] exp(-|t_i - c_j|^2 / 2 s^2) is the difference of two log row sums, of
    l + t c / s^2 - |c|^2 / 2 s^2 and of l, less |t|^2 / 2 s^2: nothing of size N x M is formed. Where the exemplar has
    no such colour the loss is about -log `_ABSENT`, and teaches nothing.

    Args:
        match: a softmax of the correlation, without biases.
        exemplar: in [-1, 1].
        target: likewise.
    """
    columns, rows = _cell_colours(match, exemplar, target)
    share = 1 / (_ALIKE * match.scale**0.5)
    alike = replace(
        match,
        query=torch.cat([match.query, share * rows], 1),
        key=torch.cat([match.key, share * columns], 1),
        col_bias=-columns.square().sum(1) / (2 * _ALIKE**2),
    )
    log_share = alike.log_row_sums() - match.log_row_sums() - rows.square().sum(1, keepdim=True) / (2 * _ALIKE**2)
    return -torch.logaddexp(log_share, torch.full_like(log_share, _ABSENT).log()).mean()


def _cell_colours(
    match: FactoredMatch, exemplar: Float[Tensor, "b 3 Y X"], target: Float[Tensor, "b 3 y x"]
) -> tuple[Float[Tensor, "b 3 H W"], Float[Tensor, "b 3 h w"]]:
    """Mean colours of the exemplar's cells and of the target's."""
    return F.adaptive_avg_pool2d(exemplar, match.transpose().grid), F.adaptive_avg_pool2d(target, match.grid)


def reconstruction(to_itself: FactoredMatch, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """L_x0 of MIDMs' warm-up: the true latent, matched to by its own condition, is itself."""
    return F.mse_loss(to_itself.apply(latent), latent)
