"""The U-Net of diffusers, on a grid of any size."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Real
from torch import Tensor, nn

from midms.core import limits
from midms.core.precision import rounded
from midms.diffusion.lean import load_network

UNet2DModel = load_network("diffusers.models.unets.unet_2d", "UNet2DModel")
_Attention = load_network("diffusers.models.attention_processor", "Attention")


def make_unet(
    inputs: int,
    outputs: int,
    widths: tuple[int, ...],
    attention: tuple[bool, ...],
    layers: int,
    head_dim: int,
    norm_groups: int,
    heads: int | None = None,
    biggan: bool = False,
) -> Any:
    """A diffusers U-Net with one level a width and attention where it is asked for, laid out channels last.

    Args:
        inputs: channels of what it is given.
        outputs: channels of what it gives.
        widths: channels of each level.
        attention: whether each level attends.
        layers: residual blocks a level.
        head_dim: width of an attention head.
        norm_groups: groups of the normalisation.
        heads: so many heads at every level, whatever their width, instead of `head_dim`.
        biggan: whether residual blocks resample, and are scaled and shifted by the timestep (Dhariwal and Nichol 2021,
            arXiv:2105.05233, sec. 3), instead of convolutions that resample and blocks that are shifted.

    Raises:
        ValueError: the levels do not agree in number, or a width cannot be divided into groups or heads.
    """
    limits.channels(norm_groups=norm_groups, head_dim=head_dim, **({} if heads is None else {"heads": heads}))
    limits.channels_of(None, widths=widths)
    limits.int_range(1, 16, layers=layers)
    if not isinstance(attention, list | tuple) or len(widths) != len(attention):
        raise ValueError(f"attention must say yes or no for each of the {len(widths)} widths, got {attention}")
    attended = [*(width for width, attend in zip(widths, attention, strict=True) if attend), widths[-1]]
    divisors = [("norm_groups", norm_groups, widths), ("heads", heads or 1, attended)]
    divisors += [] if heads else [("head_dim", head_dim, attended)]
    for name, size, affected in divisors:
        if any(width % size for width in affected):
            raise ValueError(f"widths must be multiples of {name}={size}, got {widths}")
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if biggan else ("DownBlock2D", "UpBlock2D")
    network = UNet2DModel(
        in_channels=inputs,
        out_channels=outputs,
        layers_per_block=layers,
        block_out_channels=widths,
        down_block_types=tuple("AttnDownBlock2D" if attend else plain[0] for attend in attention),
        up_block_types=tuple("AttnUpBlock2D" if attend else plain[1] for attend in reversed(attention)),
        attention_head_dim=min(attended) // heads if heads else head_dim,
        norm_num_groups=norm_groups,
        attn_norm_num_groups=norm_groups,  # else the middle attention of `biggan` has no normalisation
        downsample_type="resnet" if biggan else "conv",
        upsample_type="resnet" if biggan else "conv",
        resnet_time_scale_shift="scale_shift" if biggan else "default",
    )
    if heads:
        for module in network.modules():
            if isinstance(module, _Attention):
                module.heads, module.scale = heads, (module.inner_dim // heads) ** -0.5
    return nn.Module.to(network, memory_format=torch.channels_last)  # diffusers' own `to` imports torch's compiler


def run_unet(network: Any, x: Float[Tensor, "b c h w"], timestep: Real[Tensor, " b"]) -> Float[Tensor, "b o h w"]:
    """The network on a grid of any size: padded by repetition to what its levels need, and cut back."""
    h, w = x.shape[-2:]
    multiple = 2 ** (len(network.config["block_out_channels"]) - 1)
    down, right = -h % multiple, -w % multiple
    if down or right:
        x = F.pad(x, (0, right, 0, down), mode="replicate")
    seen = rounded(x, network).contiguous(memory_format=torch.channels_last)
    return network(seen, timestep).sample[..., :h, :w].to(x.dtype)
