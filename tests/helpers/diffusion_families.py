"""Pipelines of diffusers of every family, with tiny networks of random numbers and tokenizers of single letters."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import tiny_denoisers
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

WIDTH, TOKENS = 32, 77
"""Of text encoders."""
UNET = {
    "sample_size": 8,
    "block_out_channels": (32, 32),
    "layers_per_block": 1,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
SDXL = tiny_denoisers.SDXL
SD3 = tiny_denoisers.SD3 | {
    "joint_attention_dim": 2 * WIDTH,
    "caption_projection_dim": 32,
    "pooled_projection_dim": 2 * WIDTH,
}
FLUX = tiny_denoisers.FLUX | {"guidance_embeds": True}
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
FAMILIES = ("sd1", "sd2", "sdxl", "sd3", "flux")


def clip(folder: Path) -> CLIPTokenizer:
    """A tokenizer of CLIP that knows letters and nothing longer."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [*string.printable[:94]]
    words = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=TOKENS)


def t5() -> T5TokenizerFast:
    """A tokenizer of letters that ends and pads as T5's does."""
    letters = ["\u2581", *string.printable[:94]]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((one, -1.0) for one in letters)]
    inner = Tokenizer(models.Unigram(pieces, unk_id=2))
    inner.pre_tokenizer = Metaspace()
    inner.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return T5TokenizerFast(tokenizer_object=inner, extra_ids=0)


def clip_text(projected: bool = False, layers: int = 2) -> Any:
    """A text encoder of CLIP."""
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    sizes = {"hidden_size": WIDTH, "intermediate_size": 37, "num_attention_heads": 4, "projection_dim": WIDTH}
    special = {"bos_token_id": 188, "eos_token_id": 189, "pad_token_id": 189}
    return kind(CLIPTextConfig(vocab_size=190, num_hidden_layers=layers, **sizes, **special)).eval()


def t5_text(width: int) -> Any:
    """A text encoder of T5."""
    sizes = {"d_kv": 8, "d_ff": 37, "num_layers": 2, "num_heads": 4}
    return T5EncoderModel(T5Config(vocab_size=98, d_model=width, **sizes)).eval()


def vae(channels: int = 4, **settings: Any) -> Any:
    """An autoencoder of eight pixels a cell."""
    kinds = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    sizes = {"block_out_channels": (8, 8, 16, 16), "latent_channels": channels, "norm_num_groups": 4}
    return AutoencoderKL(down_block_types=kinds[0], up_block_types=kinds[1], **sizes, **settings).eval()


def saved(family: str, folder: Path) -> Any:
    """A whole pipeline, as it comes back from a folder.

    Args:
        family: one of `FAMILIES`.
        folder: where it is saved.
    """
    made = pipeline(family, folder.with_name(f"{folder.name}-tokens"))
    made.save_pretrained(folder)
    read = type(made).from_pretrained(folder, local_files_only=True)
    read.set_progress_bar_config(disable=True)
    return read


def pipeline(family: str, folder: Path) -> Any:
    """A whole pipeline, but for how its tokenizers are read.

    Args:
        family: one of `FAMILIES`.
        folder: for files of tokenizers.
    """
    torch.manual_seed(0)
    scaled = {"scaling_factor": 1.3, "shift_factor": 0.1, "use_quant_conv": False, "use_post_quant_conv": False}
    first = {"tokenizer": clip(folder / "clip")}
    second = {"tokenizer_2": clip(folder / "clip2"), "text_encoder_2": clip_text(True)}
    if family in ("sd1", "sd2"):
        kind = "v_prediction" if family == "sd2" else "epsilon"
        made = StableDiffusionPipeline(
            **first,
            text_encoder=clip_text(),
            unet=UNet2DConditionModel(cross_attention_dim=WIDTH, **UNET),
            scheduler=DDIMScheduler(**BETAS, clip_sample=False, prediction_type=kind),
            vae=vae(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    elif family == "sdxl":
        made = StableDiffusionXLPipeline(
            **first,
            **second,
            text_encoder=clip_text(),
            unet=UNet2DConditionModel(**UNET | SDXL),
            scheduler=EulerDiscreteScheduler(**BETAS, timestep_spacing="leading"),
            vae=vae(scaling_factor=0.13025),
            add_watermarker=False,
        )
    elif family == "sd3":
        made = StableDiffusion3Pipeline(
            **first,
            **second,
            text_encoder=clip_text(True),
            tokenizer_3=t5(),
            text_encoder_3=t5_text(2 * WIDTH),
            transformer=SD3Transformer2DModel(**SD3),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=vae(**scaled),
        )
    else:
        made = FluxPipeline(
            **first,
            text_encoder=clip_text(),
            tokenizer_2=t5(),
            text_encoder_2=t5_text(WIDTH),
            transformer=FluxTransformer2DModel(**FLUX),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
            vae=vae(**scaled),
        )
    return made
