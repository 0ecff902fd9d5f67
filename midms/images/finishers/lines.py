"""The lines of a drawing as a layer: how far they cover each pixel, and with which colour."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.precision import without_autocast
from midms.images.paper import beside_paper

_EVEN, _NEAR = 0.25, 0.3
"""Share of a drawing that has one colour where the paper has, and how far that is from the fitted paper at most."""
_GRAIN = 0.01
"""Contrast with the paper, of a range of 2, that is never a line's."""
_FAINT = 0.12
"""The same that the lines of a drawing have at least."""
_UNEVEN = 0.5
"""Share of the lines' contrast that the paper's grain has at most; a photo's has more."""
_OPAQUE = 0.9
"""Share of the lines' contrast from which a pixel is line alone."""
_SAMPLE = 2**20
"""Pixels, about, from which grain and contrast of a drawing are measured."""


@without_autocast
def line_layer(drawing: Float[Tensor, "1 3 Y X"]) -> Float[Tensor, "1 4 Y X"]:
    """Colour in [-1, 1] and opacity in [0, 1] of the lines: laid on the drawing's paper, they are the drawing again.

    Opacity is contrast with the paper, less the paper's grain, in units of the contrast that the drawing's lines have.
    Neither colour nor polarity is assumed. Where a pixel is line alone its colour is the drawing's own, to the bit.
    A picture without lines on even paper has an opacity of 0.

    Args:
        drawing: in [-1, 1].
    """
    paper = _paper(drawing)
    contrast = (drawing - paper).abs_().amax(1, keepdim=True)
    grain, full = _range(contrast)
    if full - grain < _FAINT or grain > _UNEVEN * full:
        return torch.cat([drawing, torch.zeros_like(contrast)], 1)
    opacity = contrast.sub_(grain).div_(_OPAQUE * full - grain).clamp_(0, 1)
    unmixed = (drawing - paper).div_(opacity.clamp(min=1e-3)).add_(paper).clamp_(-1, 1)
    return torch.cat([torch.where(opacity == 1, drawing, unmixed), opacity], 1)


def _paper(drawing: Float[Tensor, "1 3 Y X"]) -> Float[Tensor, "1 3 Y X"]:
    """The colour of the paper at each pixel: the same everywhere where much of the drawing has one, as on a screen."""
    fitted = torch.cat([paper for _, paper in beside_paper(drawing)], -2)
    few = _sampled(drawing)
    levels = ((few[0].flatten(1) + 1) * 127.5).round().long()
    codes, counts = (levels * levels.new_tensor([[2**16], [2**8], [1]])).sum(0).unique(return_counts=True)
    code = int(codes[counts.argmax()])
    commonest = drawing.new_tensor([code >> 16, code >> 8 & 255, code & 255]).view(1, 3, 1, 1) / 127.5 - 1
    even = bool(counts.max() >= _EVEN * levels.shape[1])
    near = bool((_sampled(fitted) - commonest).abs().amax(1).median() < _NEAR)
    return commonest.expand_as(drawing) if even and near else fitted


def _sampled(planes: Float[Tensor, "1 c Y X"]) -> Float[Tensor, "1 c y x"]:
    step = max(1, round((planes[0, 0].numel() / _SAMPLE) ** 0.5))
    return planes[..., ::step, ::step]


def _range(contrast: Float[Tensor, "1 1 Y X"]) -> tuple[float, float]:
    """Contrast with the paper that is the paper's grain, and that which lines have.

    Lines may be a hundredth of a picture, so it is the darkest pixels that tell: the median of all that are at least
    half as far from the paper.
    """
    values = _sampled(contrast).flatten()
    level = values.quantile(0.4)
    grain = max(float(level + 3 * (values - level).abs().quantile(0.4)), _GRAIN)
    strongest = float(values.topk(max(1, values.numel() // 2000)).values[-1])
    return grain, float(values[values >= (strongest + grain) / 2].median()) if strongest > grain else grain
