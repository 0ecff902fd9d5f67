"""The presets of the released models with networks a hundredth as large."""

from __future__ import annotations

from typing import Any

from tiny_denoisers import FLUX as FLUX_CONFIG
from tiny_denoisers import SD3 as SD3_CONFIG
from tiny_denoisers import UNET

from midms import Spec
from midms.compose.presets import PRESETS

RELEASED: dict[str, dict[str, Any]] = {
    "midm-celeba": {"latent": 3, "stride": 4, "unet": {"head_dim": 16}, "stage": "vq"},
    "midm-deepfashion": {"latent": 3, "stride": 4, "unet": {"head_dim": 16}, "stage": "vq"},
    "midm-church": {"latent": 4, "stride": 8, "unet": {"heads": 4, "biggan": True}, "stage": "kl"},
}
"""Presets without weights here, and what a small network of the same kind has."""
KL = Spec("kl", channels=4, widths=(8, 8, 16, 16), layers=1, norm_groups=4)
SOFT = {"matcher": Spec("correlation", temperature=0.5), "confidence": Spec("peak")}
SD_WARP = {
    "denoiser": Spec("unet-condition", config=UNET, guidance=1.0),
    "autoencoder": KL,
    "matcher": Spec("correlation", temperature=0.05),
    "confidence": Spec("cycle", softness=0.05),
    "sampler": Spec("ddim", timesteps=(401, 201, 1), schedule="scaled-linear"),
}
FLOW = {
    "autoencoder": KL,
    "features": Spec("diffusion", network="denoiser", timestep=260, sigma=0.26, blocks=(1,), draws=1, dropped=()),
    "sampler": Spec("euler", timesteps=(901, 501, 101), schedule="flow:3.0"),
    "injection": Spec("graft", layers=("transformer_blocks",), dropout=0.0, **SOFT),
}
NOISY = {"sampler": Spec("ddim", timesteps=(401, 201, 1), schedule="scaled-linear", eta=1.0)}
CTRLX = {
    "appearance_layers": ("down_blocks.1", "up_blocks.0"),
    "structure_layers": ("up_blocks.0",),
    "structure_results": ("up_blocks.0.resnets.0",),
}
TEXT_TO_IMAGE: dict[str, dict[str, Spec]] = {
    "sd-warp": SD_WARP,
    "sd-crossattn": SD_WARP
    | NOISY
    | {"injection": Spec("cross-attention", layers=("up_blocks.0",), first=0.3, guidance=(1.0, 1.0))},
    "sd-ctrlx": SD_WARP | NOISY | {"injection": Spec("ctrlx", **CTRLX)},
    "sdxl-ctrlx": SD_WARP | NOISY | {"injection": Spec("ctrlx", **CTRLX)},
    "flux-graft": SD_WARP | FLOW | {"denoiser": Spec("flux", config=FLUX_CONFIG, tokens=5)},
    "sd3-graft": SD_WARP | FLOW | {"denoiser": Spec("sd3", config=SD3_CONFIG, tokens=5, guidance=1.0)},
}
"""Parts of presets for models of diffusers that are small."""


def small(preset: str) -> dict[str, Spec]:
    """The same parts, a hundredth as large. Random features are as like one cell as another, and at the released
    temperature and vote it is rounding that chooses: here both are softer."""
    if preset in TEXT_TO_IMAGE:
        return TEXT_TO_IMAGE[preset]
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
