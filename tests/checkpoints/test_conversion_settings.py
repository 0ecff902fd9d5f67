"""Every setting of diffusers' networks gives diffusers' numbers, or is refused by its name."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from folders_of_others import BASE, NETWORKS, filled, folder_of, write, write_scheduler

from midms.checkpoints.convert import convert
from midms.checkpoints.folder import Weights
from midms.compose.catalog import create
from midms.core.tensors import CheckpointError

OTHER: dict[str, list[Any]] = {
    "sample_size": [7],
    "in_channels": [4],
    "out_channels": [4],
    "center_input_sample": [True],
    "time_embedding_type": ["fourier"],
    "time_embedding_dim": [64, 128],
    "freq_shift": [1],
    "flip_sin_to_cos": [False],
    "down_block_types": [("DownBlock2D", "DownBlock2D"), ("AttnDownEncoderBlock2D",) * 2],
    "up_block_types": [("UpBlock2D", "UpBlock2D"), ("AttnUpDecoderBlock2D",) * 2],
    "mid_block_type": [None],
    "block_out_channels": [(64, 32), (64, 64)],
    "layers_per_block": [2],
    "mid_block_scale_factor": [2],
    "downsample_padding": [0],
    "downsample_type": ["resnet"],
    "upsample_type": ["resnet"],
    "dropout": [0.5],
    "act_fn": ["gelu"],
    "attention_head_dim": [8, 32, None],
    "norm_num_groups": [16],
    "attn_norm_num_groups": [16, 32],
    "norm_eps": [1e-3],
    "resnet_time_scale_shift": ["scale_shift"],
    "add_attention": [False],
    "class_embed_type": ["identity"],
    "num_class_embeds": [5],
    "num_train_timesteps": [10],
    "latent_channels": [5],
    "num_vq_embeddings": [9],
    "vq_embed_dim": [3, 5],
    "scaling_factor": [0.3, 1.0],
    "norm_type": ["spatial"],
    "mid_block_add_attention": [False],
    "lookup_from_codebook": [True],
    "force_upcast": [True, False],
    "shift_factor": [0.1],
    "latents_mean": [(0.1, 0.2, 0.3, 0.4)],
    "latents_std": [(0.1, 0.2, 0.3, 0.4)],
    "use_quant_conv": [False],
    "use_post_quant_conv": [False],
}
"""Values that settings do not have in `BASE`; of settings that a newer diffusers has, any value."""
FIELDS = [(kind, field) for kind, made in NETWORKS.items() for field in inspect.signature(made).parameters]


@torch.no_grad()
def same(found: Weights, kind: str, theirs: Any) -> None:
    """The part that a folder was made into gives the numbers of diffusers' network."""
    slot = "denoiser" if kind == "UNet2DModel" else "autoencoder"
    part = create(slot, found.parts[slot].name, **found.parts[slot].arguments).eval()
    part.load_state_dict(found.state(slot))
    if slot == "denoiser":
        x, t = torch.randn(1, theirs.config["in_channels"], 8, 4), torch.tensor([300])
        torch.testing.assert_close(part.network(x, t).sample, theirs(x, t).sample, rtol=1e-3, atol=1e-4)
        return
    image = torch.rand(1, 3, 16, 8) * 2 - 1
    encoded, scale, shift = theirs.encode(image), 1.0, 0.0
    if kind == "AutoencoderKL":
        latent, scale = encoded.latent_dist.mode(), theirs.config["scaling_factor"]
        shift = theirs.config["shift_factor"] or 0.0
    else:
        latent = encoded.latents
    scaled = scale * (latent - shift)
    torch.testing.assert_close(part.encode(image), scaled, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(part.decode(scaled), theirs.decode(latent).sample, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=map(".".join, FIELDS))
def test_a_setting_of_a_network_is_used_or_refused_by_its_name(
    kind: str, field: str, tmp_path: Path, unchecked: None
) -> None:
    for number, value in enumerate(OTHER.get(field, ["odd"])):
        settings, folder = BASE[kind] | {field: value}, tmp_path / str(number)
        try:
            folder_of(folder, kind, settings)
            convert(folder)
        except CheckpointError as refused:
            assert field in str(refused) and "\n" not in str(refused)
            continue
        network = filled(kind, settings)
        same(convert(folder_of(folder, kind, settings, network)), kind, network)


def drawn(kind: str, draw: random.Random) -> dict[str, Any]:
    """Settings of a network as people choose them."""
    depth, groups = draw.choice([1, 2, 3]), draw.choice([4, 8, 16])
    widths = tuple(groups * draw.choice([1, 2, 3]) for _ in range(depth))
    settings = {
        "block_out_channels": widths,
        "norm_num_groups": groups,
        "layers_per_block": draw.choice([1, 2]),
        "sample_size": draw.choice([8, 64]),
    }
    if kind == "UNet2DModel":
        channels, attends = draw.choice([1, 3, 4]), [draw.random() < 0.5 for _ in range(depth)]
        return settings | {
            "in_channels": channels,
            "out_channels": channels,
            "down_block_types": tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
            "up_block_types": tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)),
            "attention_head_dim": draw.choice([groups, 2, None]),
            "dropout": draw.choice([0.0, 0.1]),
        }
    settings |= {
        "down_block_types": ("DownEncoderBlock2D",) * depth,
        "up_block_types": ("UpDecoderBlock2D",) * depth,
        "latent_channels": draw.choice([2, 3, 4]),
    }
    return settings | ({"num_vq_embeddings": 7} if kind == "VQModel" else {"scaling_factor": draw.choice([0.2, 1.0])})


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_of_many_settings_give_the_numbers_of_diffusers(kind: str, tmp_path: Path, unchecked: None) -> None:
    draw = random.Random(kind)
    for number in range(6):
        settings = drawn(kind, draw)
        network = filled(kind, settings)
        same(convert(folder_of(tmp_path / str(number), kind, settings, network)), kind, network)


UNKNOWN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "of a network": ("unet", lambda f: write(f / "unet", "UNet2DModel", BASE["UNet2DModel"] | {"new_setting": 1})),
    "of an autoencoder": ("vqvae", lambda f: write(f / "vqvae", "VQModel", BASE["VQModel"] | {"new_setting": 1})),
    "of a scheduler": ("scheduler", lambda f: write_scheduler(f, new_setting=1)),
}


@pytest.mark.parametrize(("where", "change"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_no_known_diffusers_has_is_refused(where: str, change: Callable[[Path], object], tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "VQModel", BASE["VQModel"] | {"_of_their_own": {"note": 1}})
    assert convert(folder).parts
    change(folder)
    with pytest.raises(CheckpointError, match=rf"{where}/\w*config.json: 'new_setting' is no setting of \w+ that is"):
        convert(folder)


def test_a_class_that_is_not_read_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "VQModel", BASE["VQModel"])
    for kind in ("FlowMatchHeunDiscreteScheduler", "NoSuchScheduler", "os", 3):
        write_scheduler(folder, kind)  # type: ignore[arg-type]
        with pytest.raises(CheckpointError, match=rf"scheduler_config.json: is for {kind!r}, which is no scheduler"):
            convert(folder)
    write_scheduler(folder)
    write(folder / "unet", "UNet1DModel", BASE["UNet2DModel"])
    with pytest.raises(CheckpointError, match=r"config.json: is for 'UNet1DModel', supported: UNet2DModel, UNet2DCond"):
        convert(folder)
