"""What is measured on faces, where the exact answer and the exact correspondence are known.

Every figure is inside the head of the answer, hair included, pair by pair. A pixel's match is right if the exemplar
shows its counterpart and the match is off by less than `_RIGHT` widths.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.flow import match_flow
from midms.core.protocols import ConditionExtractor, Match
from midms.data.portraits.pairs import PORTRAIT_PARTS, Pairs
from midms.evaluation.metrics.correspondence import RADII
from midms.evaluation.metrics.pictures import masked_mean, psnr, ssim

_RIGHT = 0.05


def conditions(extractor: ConditionExtractor, pairs: Pairs) -> Tensor:
    """The sketches as a person would hand them in, read by a condition extractor."""
    height, width = pairs.answer.shape[-2:]
    return extractor.drawing((1 - 2 * pairs.sketch).expand(-1, 3, -1, -1), (height, width))


def pictures(image: Float[Tensor, "b 3 y x"], pairs: Pairs) -> dict[str, Float[Tensor, " b"]]:
    """Distances to the exact answer: PSNR in dB, SSIM."""
    return {"PSNR": psnr(image, pairs.answer, pairs.head), "SSIM": ssim(image, pairs.answer, pairs.head)}


def matches(match: Match, confidence: Tensor, pairs: Pairs) -> dict[str, Tensor]:
    """The match against the exact correspondence, on visible pixels of the head.

    Returns:
        Means pair by pair; and under "_confidence" and "_right", for all pixels of all heads, their confidence and
        whether they are right, for `auroc`.
    """
    size, head = pairs.answer.shape[-1], pairs.head
    place = match_flow(match, (size, size), pairs.answer)
    off = (place - pairs.place).norm(dim=1) / 2  # widths
    seen = head & pairs.visible
    labels = F.one_hot(pairs.exemplar_parts, len(PORTRAIT_PARTS)).permute(0, 3, 1, 2).float()
    warped = match.apply(F.interpolate(labels, match.transpose().grid, mode="area"))
    named = F.interpolate(warped, (size, size), mode="bilinear").argmax(1)
    right = (off < _RIGHT) & pairs.visible
    fine = F.interpolate(confidence, (size, size), mode="bilinear")[:, 0]
    return {
        "EPE px": masked_mean(off * size, seen),
        **{f"PCK@{radius}": masked_mean((off < radius).float(), seen) for radius in RADII},
        "part accuracy": masked_mean((named == pairs.parts).float(), seen),
        "_confidence": fine[head],
        "_right": right[head].float(),
    }
