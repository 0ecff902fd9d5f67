"""Features of any picture backbone that timm knows, without training."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import timm
import torch
from jaxtyping import Float
from timm.data import resolve_model_data_config
from timm.layers import get_channel_dim
from torch import Tensor

from midms.core.limits import STRIDE, int_range
from midms.core.precision import rounded
from midms.core.types import rendered
from midms.features.common import MapFeatures, resized, stack_activations


class TimmFeatures(MapFeatures):
    """A frozen timm backbone looking at condition maps.

    Maps are rendered as colour pictures (three channels of the map; where there are fewer, they repeat). Several depths
    of the backbone are brought to the latent's grid and put side by side, each less its mean over the picture and of
    unit length, so that a cell is described by what sets it apart.

    To choose for a backbone that is there, without training it.

    Args:
        backbone: timm's name.
        pretrained: whether timm loads its weights, from its cache or the hub; otherwise they are random and nothing is
            fetched.
        depths: which of the backbone's feature maps, 0 is the finest.
        stride: pixels a latent cell.
        magnify: times by which maps are enlarged for the backbone, whose maps are coarser than small latents. A
            backbone that takes pictures of one size alone, as many transformers do, gets that size.

    Raises:
        ValueError: timm knows no such backbone, or it has no such depth.
        OSError: its weights were asked for and cannot be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str = "resnet18.a1_in1k",
        pretrained: bool = False,
        depths: tuple[int, ...] = (1, 2, 3),
        stride: int = 4,
        magnify: int = 2,
    ) -> None:
        super().__init__()
        int_range(1, STRIDE, stride=stride, magnify=magnify)
        if not isinstance(depths, Sequence) or not depths:
            raise ValueError(f"depths must be a tuple of whole numbers, got {depths!r}")
        for depth in depths:
            int_range(0, 16, depths=depth)
        if not isinstance(backbone, str) or not timm.is_model(backbone):
            near = difflib.get_close_matches(str(backbone).split(".")[0], timm.list_models(), n=3)
            raise ValueError(f"timm knows no backbone {backbone!r}. Near: {', '.join(near) or 'none'}.")
        self.stride, self.magnify = stride, magnify
        try:
            network: Any = timm.create_model(backbone, pretrained, features_only=True, out_indices=depths)
        except IndexError:
            raise ValueError(f"depths of {backbone!r} do not include all of {depths}") from None
        except OSError as error:
            raise OSError(
                f"timm cannot get the weights of {backbone!r}; pretrained=False has random ones: {error}"
            ) from error
        self.network = network
        habits = resolve_model_data_config(network)
        fixed = timm.get_pretrained_cfg_value(backbone, "fixed_input_size")
        self.size = habits["input_size"][-2:] if fixed else None
        self.channel = get_channel_dim(getattr(network, "output_fmt", "NCHW"))
        self.register_buffer(
            "mean", torch.tensor(habits["mean"], dtype=torch.float32).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer("std", torch.tensor(habits["std"], dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def _features(self, condition: Float[Tensor, "b k Y X"], grid: tuple[int, int]) -> Float[Tensor, "b d h w"]:
        picture = (rendered(condition) - self.mean) / self.std
        size = self.size or (picture.shape[-2] * self.magnify, picture.shape[-1] * self.magnify)
        seen = self.network(rounded(resized(picture, size), self.network))
        return stack_activations([x.movedim(self.channel, 1).to(condition.dtype) for x in seen], grid)
