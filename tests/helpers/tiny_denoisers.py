"""Denoisers of every family with tiny networks of random numbers in float64, and prompts of random numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from midms.compose.catalog import create
from midms.core.types import Context, Level
from midms.diffusion.levels import noise_levels

WIDTH = 32
UNET = {
    "sample_size": 8,
    "block_out_channels": (32, 32),
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
    "cross_attention_dim": WIDTH,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
SDXL = {
    "cross_attention_dim": 2 * WIDTH,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + WIDTH,
    "use_linear_projection": True,
    "transformer_layers_per_block": (1, 2),
}
SD3 = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 3,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": WIDTH,
    "caption_projection_dim": WIDTH,
    "pooled_projection_dim": WIDTH,
    "pos_embed_max_size": 16,
    "qk_norm": "rms_norm",
    "dual_attention_layers": (0,),
}
FLUX = {
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": WIDTH,
    "pooled_projection_dim": WIDTH,
    "guidance_embeds": False,
    "axes_dims_rope": (4, 6, 6),
}
LEVELS = {"unet-condition": "scaled-linear", "sdxl": "scaled-linear", "sd3": "flow:3.0", "flux": "flow:3.0"}


def denoiser(family: str, guidance: float = 1.0) -> Any:
    """One, the same each time; convolutions of a U-Net go round.

    Args:
        family: one of `LEVELS`.
        guidance: of it.
    """
    torch.manual_seed(4)
    config: dict[str, Any] = {"unet-condition": UNET, "sdxl": UNET | SDXL, "sd3": SD3, "flux": FLUX}[family]
    made = (
        create("denoiser", "unet-condition" if family == "sdxl" else family, config=config, guidance=guidance, tokens=5)
        .double()
        .eval()
    )
    for buffer in made.prompts.buffers():
        buffer.copy_(torch.randn_like(buffer))
    for layer in made.network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.padding_mode = "circular"
    return made.requires_grad_(False)


def level(family: str, timestep: int = 500) -> Level:
    """A level of a family's schedule."""
    return noise_levels((timestep,), LEVELS[family])[0]


def latents(seed: int, count: int = 1, grid: tuple[int, int] = (8, 8)) -> Tensor:
    """Random ones of four channels."""
    return torch.randn(count, 4, *grid, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def context(x: Tensor) -> Context:
    """What these denoisers do not look at."""
    return Context(x, x.new_zeros(len(x), 3, 64, 64), x.new_zeros(len(x), 1, *x.shape[-2:]))
