"""What is measured of pairs whose exact answer is known, and perhaps their correspondence.

Every figure is inside the subject of the target where the pair tells it, else over the whole picture, pair by pair. A
pixel's match is right if the exemplar shows its counterpart and the match is off by less than `_RIGHT` of the
exemplar's longer side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.flow import match_flow
from midms.core.protocols import Match
from midms.data.pair import Pair
from midms.evaluation.metrics.correspondence import RADII
from midms.evaluation.metrics.pictures import Mask, masked_mean, psnr, ssim

_RIGHT = 0.05


def picture_figures(image: Float[Tensor, "b 3 y x"], pair: Pair) -> dict[str, Float[Tensor, " b"]]:
    """Distances to the exact answer: PSNR in dB, SSIM."""
    subject = _mask(pair.foreground, pair)
    return {"PSNR": psnr(image, pair.target, subject), "SSIM": ssim(image, pair.target, subject)}


def match_figures(match: Match, confidence: Tensor, pair: Pair) -> dict[str, Tensor]:
    """The match against the exact correspondence, on visible pixels of the subject; nothing where none is known.

    Returns:
        Means pair by pair; and under "_confidence" and "_right", for all pixels of all subjects, their confidence and
        whether they are right, for `auroc`.
    """
    if pair.flow is None:
        return {}
    height, width = pair.target.shape[-2:]
    rows, columns = pair.exemplar.shape[-2:]
    longer = max(rows, columns)
    to_shares = pair.flow.new_tensor([columns, rows]).view(1, 2, 1, 1) / (2 * longer)
    place = match_flow(match, (height, width), pair.target)
    off = ((place - pair.flow) * to_shares).norm(dim=1)
    subject, visible = _mask(pair.foreground, pair), _mask(pair.visible, pair)
    fine = F.interpolate(confidence, (height, width), mode="bilinear")[:, 0]
    return {
        "EPE px": masked_mean(off * longer, subject & visible),
        **{f"PCK@{radius}": masked_mean((off < radius).float(), subject & visible) for radius in RADII},
        "_confidence": fine[subject],
        "_right": ((off < _RIGHT) & visible)[subject].float(),
    }


def _mask(known: Tensor | None, pair: Pair) -> Mask:
    return torch.ones_like(pair.target[:, 0], dtype=torch.bool) if known is None else known[:, 0]
