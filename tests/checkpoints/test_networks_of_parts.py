"""Parts that bring networks of their own read safetensors alone: what is pickled beside a config is never opened."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from diffusers import T2IAdapter, UNet2DModel
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from midms import create


class Hostile:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def networks() -> dict[str, Any]:
    small = {"norm_num_groups": 8, "block_out_channels": (8, 8), "layers_per_block": 1}
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16
    )
    return {
        "control": T2IAdapter(channels=[32, 32], num_res_blocks=1),
        "ip-adapter": CLIPVisionModelWithProjection(vision),
        "diffusion": UNet2DModel(**small, **kinds),
    }


def made(part: str, folder: Path, file: Path) -> None:
    if part == "control":
        create("injection", part, network=str(folder))
    elif part == "ip-adapter":
        create("injection", part, file=str(file), encoder=str(folder))
    else:
        create("features", part, network=str(folder))


@pytest.mark.parametrize("part", ["control", "ip-adapter", "diffusion"])
def test_pickled_weights_are_not_opened(part: str, tmp_path: Path) -> None:
    network = networks()[part]
    network.save_pretrained(tmp_path / "network")
    weights = network.state_dict()
    some = next(value for value in weights.values() if value.ndim == 1)
    adapter = {f"image_proj.{name}": some.clone() for name in ("norm.weight", "norm.bias", "proj.bias")}
    adapter |= {f"ip_adapter.1.{kind}.weight": some[None].clone() for kind in ("to_k_ip", "to_v_ip")}
    save_file(adapter | {"image_proj.proj.weight": some[:, None].clone()}, tmp_path / "adapter.safetensors")
    (whole,) = (tmp_path / "network").glob("*.safetensors")
    made(part, tmp_path / "network", tmp_path / "adapter.safetensors")
    whole.unlink()
    for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin"):
        (tmp_path / "network" / name).write_bytes(pickle.dumps(Hostile(tmp_path / "opened")))
    with pytest.raises(OSError, match="safetensors"):
        made(part, tmp_path / "network", tmp_path / "adapter.safetensors")
    assert not (tmp_path / "opened").exists()
