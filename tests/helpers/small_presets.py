"""The presets of the released models with networks a hundredth as large."""

from __future__ import annotations

from typing import Any

from midms import Spec
from midms.compose.presets import PRESETS

RELEASED: dict[str, dict[str, Any]] = {
    "midm-celeba": {"latent": 3, "stride": 4, "unet": {"head_dim": 16}, "stage": "vq"},
    "midm-deepfashion": {"latent": 3, "stride": 4, "unet": {"head_dim": 16}, "stage": "vq"},
    "midm-church": {"latent": 4, "stride": 8, "unet": {"heads": 4, "biggan": True}, "stage": "kl"},
}
"""Presets without weights here, and what a small network of the same kind has."""
SD_WARP = {
    "denoiser": Spec(
        "unet-condition",
        config={
            "block_out_channels": (32, 32),
            "layers_per_block": 1,
            "attention_head_dim": 8,
            "norm_num_groups": 8,
            "cross_attention_dim": 32,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        },
        guidance=1.0,
    ),
    "autoencoder": Spec("kl", channels=4, widths=(8, 8, 16, 16), layers=1, norm_groups=4),
    "matcher": Spec("correlation", temperature=0.05),
    "confidence": Spec("cycle", softness=0.05),
    "sampler": Spec("ddim", timesteps=(401, 201, 1), schedule="scaled-linear"),
}
"""Parts of `sd-warp` that are small."""


def small(preset: str) -> dict[str, Spec]:
    """The same parts, a hundredth as large. Random features are as like one cell as another, and at the released
    temperature and vote it is rounding that chooses: here both are softer."""
    if preset == "sd-warp":
        return SD_WARP
    like = RELEASED[preset]
    sizes = {"latent_channels": like["latent"], "stride": like["stride"]}
    maps = PRESETS[preset].slots["features"].arguments["condition_channels"]
    widths = (16, 32, 32) if like["stage"] == "vq" else (16, 16, 32, 32)
    codes = {"codes": 64} if like["stage"] == "vq" else {}
    return {
        "features": Spec("midm", condition_channels=maps, **sizes, width=32, widths=(16, 32, 32), hidden=16),
        "denoiser": Spec(
            "unconditional", channels=like["latent"], widths=(32, 64), attention=(True, True), **like["unet"]
        ),
        "matcher": Spec("correlation", temperature=0.05, floor=0.0),
        "confidence": Spec("cycle", softness=0.05),
        "autoencoder": Spec(like["stage"], channels=like["latent"], widths=widths, layers=1, norm_groups=8, **codes),
    }
