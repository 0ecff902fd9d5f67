"""What is measured on faces, whose parts are known too: as `known`, inside the head of the answer, hair included."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import ConditionExtractor, Match
from midms.data.portraits.pairs import PORTRAIT_PARTS, Pairs
from midms.evaluation.metrics import known
from midms.evaluation.metrics.pictures import masked_mean


def conditions(extractor: ConditionExtractor, pairs: Pairs) -> Tensor:
    """The sketches as a person would hand them in, read by a condition extractor."""
    height, width = pairs.answer.shape[-2:]
    return extractor.drawing((1 - 2 * pairs.sketch).expand(-1, 3, -1, -1), (height, width))


def pictures(image: Float[Tensor, "b 3 y x"], pairs: Pairs) -> dict[str, Float[Tensor, " b"]]:
    """Distances to the exact answer, see `known.picture_figures`."""
    return known.picture_figures(image, pairs.pair())


def matches(match: Match, confidence: Tensor, pairs: Pairs) -> dict[str, Tensor]:
    """The match against the exact correspondence, see `known.match_figures`, and how often it names the right part."""
    size = pairs.answer.shape[-1]
    labels = F.one_hot(pairs.exemplar_parts, len(PORTRAIT_PARTS)).permute(0, 3, 1, 2).float()
    warped = match.apply(F.interpolate(labels, match.transpose().grid, mode="area"))
    named = F.interpolate(warped, (size, size), mode="bilinear").argmax(1)
    right = masked_mean((named == pairs.parts).float(), pairs.head & pairs.visible)
    return {**known.match_figures(match, confidence, pairs.pair()), "part accuracy": right}
