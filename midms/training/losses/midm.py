"""Losses of MIDMs (Seo et al. 2023, arXiv:2209.11047) between features, latents and maps, as its code has them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.normalize import l2_normalize
from midms.core.protocols import Match


def domain_loss(
    condition: Float[Tensor, "b d h w"], target: Float[Tensor, "b d h w"], exemplar: Float[Tensor, "b d h w"]
) -> Float[Tensor, ""]:
    """L_dom: a condition and the picture that it describes have the same features, once more where the exemplar's
    are large.

    Args:
        condition: what its encoder gives.
        target: what the encoder of pictures gives for the ground truth.
        exemplar: the same for the exemplar, by its cell; not trained by this term.
    """
    a, b, weight = (l2_normalize(features) for features in (condition, target, exemplar.detach()))
    return F.l1_loss(a, b) + F.l1_loss(weight * a, weight * b)


def round_trip(match: Match, warp: Float[Tensor, "b c h w"], latent: Float[Tensor, "b c H W"]) -> Float[Tensor, ""]:
    """L_cyc: a latent that was warped onto the condition's grid and goes back by the same match is itself.

    Args:
        match: from the condition to the picture that the latent is of.
        warp: the latent under the match.
        latent: it.
    """
    return F.l1_loss(match.transpose().apply(warp), latent)


def segmentation_loss(
    warped: Float[Tensor, "b k h w"], target: Float[Tensor, "b k h w"], exemplar: Float[Tensor, "b k H W"]
) -> Float[Tensor, ""]:
    """L_seg: a cell takes from cells of its own label; without the label 0, and labels that the exemplar lacks.

    Args:
        warped: shares of labels, the exemplar's under the match.
        target: one-hot labels of the condition.
        exemplar: those of the exemplar.
    """
    label = target.argmax(1, keepdim=True)
    present = exemplar.flatten(2).amax(2)[..., None, None].expand_as(target) > 0
    counted = (present.gather(1, label) & (label > 0)).to(warped)
    missed = -torch.log(warped.gather(1, label) + 1e-10)
    return (missed * counted).sum() / (counted.sum() + 1e-5)
