"""Figures of merit for pictures, each on a mask, and for scores."""

from __future__ import annotations

from jaxtyping import Bool, Float
from kornia.metrics import ssim as kornia_ssim
from torch import Tensor

Mask = Bool[Tensor, "b y x"]


def masked_mean(values: Float[Tensor, "b y x"], mask: Mask) -> Float[Tensor, " b"]:
    """Mean over the mask, picture by picture; NaN where the mask is empty."""
    return (values * mask).sum((1, 2)) / mask.sum((1, 2))


def psnr(image: Float[Tensor, "b 3 y x"], answer: Float[Tensor, "b 3 y x"], mask: Mask) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1]."""
    return -10 * masked_mean(((image.clamp(-1, 1) - answer) / 2).pow(2).mean(1), mask).log10()


def ssim(image: Float[Tensor, "b 3 y x"], answer: Float[Tensor, "b 3 y x"], mask: Mask) -> Float[Tensor, " b"]:
    """Structural similarity (Wang et al. 2004), window 7, of pictures in [-1, 1]."""
    return masked_mean(kornia_ssim((image.clamp(-1, 1) + 1) / 2, (answer + 1) / 2, 7).mean(1), mask)


def auroc(score: Float[Tensor, " n"], right: Bool[Tensor, " n"]) -> float:
    """Area under the ROC curve: how often a right cell is trusted more than a wrong one, ties counting half."""
    _, inverse, counts = score.unique(return_inverse=True, return_counts=True)
    upper = counts.cumsum(0).double()
    rank = (upper - (counts - 1) / 2)[inverse]
    positive, negative = right.sum().item(), (~right).sum().item()
    if not positive or not negative:
        return float("nan")
    return ((rank[right].sum() - positive * (positive + 1) / 2) / (positive * negative)).item()
