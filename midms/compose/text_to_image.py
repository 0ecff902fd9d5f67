"""Presets around text-to-image models of diffusers. Weights bring network, autoencoder and schedule of their own."""

from __future__ import annotations

from typing import Any

from midms.compose.recipe import Recipe
from midms.compose.spec import Spec
from midms.core.domain import Domain

SD1_PARTS = {
    "denoiser": Spec(
        "unet-condition",
        config={
            "sample_size": 64,
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (320, 640, 1280, 1280),
            "layers_per_block": 2,
            "attention_head_dim": 8,
            "cross_attention_dim": 768,
        },
    ),
    "autoencoder": Spec("kl", channels=4, widths=(128, 256, 512, 512), layers=2, scale=0.18215),
}
"""Stable Diffusion 1, by the names of diffusers' classes."""
SDXL_PARTS = {
    "denoiser": Spec(
        "unet-condition",
        config={
            "sample_size": 128,
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "layers_per_block": 2,
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        guidance=5.0,
    ),
    "autoencoder": Spec("kl", channels=4, widths=(128, 256, 512, 512), layers=2, scale=0.13025),
}
SD3_PARTS = {
    "denoiser": Spec(
        "sd3",
        config={
            "sample_size": 128,
            "in_channels": 16,
            "out_channels": 16,
            "num_layers": 24,
            "num_attention_heads": 24,
            "attention_head_dim": 64,
            "joint_attention_dim": 4096,
            "caption_projection_dim": 1536,
            "pooled_projection_dim": 2048,
            "pos_embed_max_size": 192,
        },
    ),
    "autoencoder": Spec("kl", channels=16, widths=(128, 256, 512, 512), layers=2, scale=1.5305, shift=0.0609),
}
FLUX_PARTS = {
    "denoiser": Spec(
        "flux",
        config={
            "in_channels": 64,
            "num_layers": 19,
            "num_single_layers": 38,
            "num_attention_heads": 24,
            "attention_head_dim": 128,
            "joint_attention_dim": 4096,
            "pooled_projection_dim": 768,
            "guidance_embeds": True,
        },
    ),
    "autoencoder": Spec("kl", channels=16, widths=(128, 256, 512, 512), layers=2, scale=0.3611, shift=0.1159),
}
DIFT = Spec("diffusion", network="denoiser", timestep=261, sigma=0.587, blocks=(1,), draws=8)
GRAFTED = Spec("product", of=(Spec("similarity", floor=0.2), Spec("cycle", radius=0.75)))
"""FreeGraftor's thresholds: below 1.5 in [-1, 1], three quarters of the width, most random matches are too; a true
check is `cycle(radius=0.05)`."""


def _recipe(
    name: str, size: int, license: str, parts: dict[str, Spec], loop: dict[str, Any], source: str, purpose: str
) -> Recipe:
    usual = {
        "condition": Spec("photo"),
        "features": DIFT,
        "matcher": Spec("correlation", temperature=0.02),
        "confidence": Spec("cycle", radius=0.05),
    }
    return Recipe(
        name=name,
        source=source,
        license=license,
        slots=usual | parts,
        loop={"rematch": (), "edit": "context", "size": size} | loop,
        weights={slot: f"{slot}.safetensors" for slot in ("denoiser", "autoencoder")},
        purpose=purpose,
        domain=Domain("pictures of all kinds, as whoever made the weights says", size=size, square=True),
        obtain="a folder of diffusers or its id on the hub, for weights= or --weights",
    )


TEXT_TO_IMAGE_RECIPES = (
    _recipe(
        "sd-warp",
        512,
        "creativeml-openrail-m",
        SD1_PARTS | {"sampler": Spec("ddim", timesteps=tuple(range(781, 0, -20)), schedule="scaled-linear")},
        {"rematch": (10, 20), "edit": "blend"},
        "a pretrained model, untouched, in the loop of arXiv:2209.11047 with the features of arXiv:2306.03881",
        "a photo or drawing takes the appearance of a photo, by a model of diffusers; untried on real weights",
    ),
    _recipe(
        "sd-crossattn",
        512,
        "creativeml-openrail-m",
        SD1_PARTS
        | {  # the last 68 of 100 steps
            "sampler": Spec("ddim", timesteps=tuple(range(671, 0, -10)), schedule="scaled-linear", eta=1.0),
            "injection": Spec(
                "cross-attention",
                layers=("up_blocks.2", "up_blocks.3"),
                first=10 / 68,
                contrast=1.67,
                structure_every=5,
                structure_until=40 / 68,
                guidance=(3.5, 1.75),
            ),
        },
        {"start": "edit-friendly", "edit": "adain", "rematch": (20, 32, 44, 56)},
        "Cross-Image Attention (arXiv:2311.03335), settings of github.com/garibida/cross-image-attention, whose masks "
        "are clusters; here they are where the match is trusted",
        "the same by keys and values of the exemplar in the network's attention; untried on real weights",
    ),
    _recipe(
        "sd-ctrlx",
        512,
        "creativeml-openrail-m",
        SD1_PARTS
        | {
            "sampler": Spec("ddim", timesteps=tuple(range(981, 0, -20)), schedule="scaled-linear", eta=1.0),
            "injection": Spec(
                "ctrlx",
                appearance_layers=(
                    *("down_blocks.1", "down_blocks.2", "up_blocks.1.attentions.1", "up_blocks.1.attentions.2"),
                    *("up_blocks.2.attentions.0", "up_blocks.2.attentions.1"),
                ),
                structure_layers=("up_blocks.1",),
                structure_results=("up_blocks.1.resnets.0",),
            ),
        },
        {"start": "renoise"},
        "Ctrl-X (arXiv:2406.07540) on Stable Diffusion 1; which layers is our guess: those of SDXL on grids as coarse",
        "the same by mean and deviation of the exemplar's activations, and the condition's; untried on real weights",
    ),
    _recipe(
        "sdxl-ctrlx",
        1024,
        "openrail++",
        SDXL_PARTS
        | {
            "features": Spec("diffusion", network="denoiser", timestep=261, sigma=0.587, blocks=(0,), draws=8),
            "sampler": Spec("ddim", timesteps=tuple(range(981, 0, -20)), schedule="scaled-linear", eta=1.0),
            "injection": Spec("ctrlx"),
        },
        {"start": "renoise"},
        "Ctrl-X (arXiv:2406.07540), layers and steps of github.com/genforce/ctrl-x, without its self-recurrence",
        "the same on SDXL, the model that Ctrl-X is made for; untried on real weights",
    ),
    _recipe(
        "flux-graft",
        1024,
        "flux-1-dev-non-commercial-license",
        FLUX_PARTS
        | {
            "features": Spec(
                "diffusion", network="denoiser", timestep=260, sigma=0.26, blocks=(28,), draws=1, dropped=(154, 1446)
            ),
            "sampler": Spec("euler", timesteps=tuple(range(900, 0, -36)), schedule="flow:3.158"),
            "injection": Spec(
                "graft", layers=("transformer_blocks", "single_transformer_blocks"), confidence=GRAFTED, dropout=0.4
            ),
        },
        {},
        "FreeGraftor (arXiv:2504.15958) in every block of FLUX.1, features of arXiv:2505.18584; it starts from the "
        "noised warp, not from a collage",
        "the same by trusted tokens of the exemplar beside the picture's own, on FLUX.1; untried on real weights",
    ),
    _recipe(
        "sd3-graft",
        1024,
        "stabilityai-ai-community",
        SD3_PARTS
        | {
            "features": Spec("diffusion", network="denoiser", timestep=260, sigma=0.26, blocks=(12,), draws=1),
            "sampler": Spec("euler", timesteps=tuple(range(900, 0, -36)), schedule="flow:3.0"),
            "injection": Spec("graft", layers=("transformer_blocks",), confidence=GRAFTED, dropout=0.4),
        },
        {},
        "FreeGraftor (arXiv:2504.15958) on Stable Diffusion 3, whose keys keep their places; untried",
        "the same on Stable Diffusion 3; untried on real weights",
    ),
)
