"""Results against exact answers, pixel by pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from kornia.metrics import ssim
from torch import Tensor

from midms.core.metrics import Compared, MetricError
from midms.evaluation.metrics.pictures import Mask, psnr

_WINDOW = 11


@dataclass(frozen=True)
class PSNR:
    """Peak signal-to-noise ratio in dB over the whole picture; infinite for the same picture.

    To choose where the answer is known; it prefers blur to a displaced texture.
    """

    needs: ClassVar = ("result", "answer")
    ideal: ClassVar = math.inf

    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """One figure."""
        assert batch.result is not None and batch.answer is not None
        return {"PSNR": psnr(batch.result, batch.answer, whole_picture(batch.answer))}


@dataclass(frozen=True)
class SSIM:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 pixels and deviation 1.5, where it fits.

    To choose where the answer is known and structure counts. Smaller pictures are refused.
    """

    needs: ClassVar = ("result", "answer")
    ideal: ClassVar = 1.0

    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """One figure."""
        assert batch.result is not None and batch.answer is not None
        one, other = ((x.clamp(-1, 1) + 1) / 2 for x in (batch.result, batch.answer))
        if min(one.shape[-2:]) < _WINDOW:
            height, width = one.shape[-2:]
            raise MetricError(f"SSIM is of pictures of {_WINDOW} x {_WINDOW} pixels at least, got {height} x {width}")
        return {"SSIM": ssim(one, other, window_size=_WINDOW, padding="valid").mean((1, 2, 3))}


def whole_picture(pictures: Float[Tensor, "b 3 y x"]) -> Mask:
    """A mask that leaves nothing out."""
    return torch.ones_like(pictures[:, 0], dtype=torch.bool)
