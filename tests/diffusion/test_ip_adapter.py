"""IP-Adapter: what diffusers' own pipelines give with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from diffusion_families import saved
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from midms import Spec, build, create
from midms.core.types import Prompt
from midms.diffusion.injections.ip_adapter import clip_pixels

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # of diffusers, which mixes in numpy
PROMPT = Prompt("a cat", "a blur", 4.0)
SIDE, EMBED, TOKENS = 32, 16, 4
SIZE: dict[str, Any] = {"height": 64, "width": 64, "num_inference_steps": 4, "guidance_scale": 4.0}
NOISE = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
QUICK: dict[str, Any] = {
    "features": Spec("diffusion", network="denoiser", blocks=(0,), draws=1),
    "sampler": Spec("ddim", timesteps=(751, 501, 251, 1)),
    "rematch": (),
    "start": "renoise",
    "size": 64,
}


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp(request.param) / "pipeline"
    return folder, saved(request.param, folder)


def encoder(folder: Path) -> Path:
    torch.manual_seed(5)
    sizes = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPVisionConfig(image_size=SIDE, patch_size=8, projection_dim=EMBED, **sizes)
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def adapter(unet: Any, file: Path) -> tuple[Path, dict[str, dict[str, Tensor]]]:
    """Random weights, under the names of published files."""
    torch.manual_seed(6)
    width = unet.config.cross_attention_dim
    state = {
        "image_proj": {
            "proj.weight": torch.randn(TOKENS * width, EMBED),
            "proj.bias": torch.randn(TOKENS * width),
            "norm.weight": torch.rand(width) + 0.5,
            "norm.bias": torch.randn(width),
        },
        "ip_adapter": {},
    }
    layers = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(layers):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for kind in ("to_k_ip", "to_v_ip"):
            state["ip_adapter"][f"{2 * number + 1}.{kind}.weight"] = torch.randn(attention.to_k.weight.shape) / 6
    save_file({f"{group}.{name}": value for group, some in state.items() for name, value in some.items()}, file)
    return file, state


def scene() -> tuple[Tensor, Tensor]:
    condition, exemplar = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return condition, 2 * exemplar - 1


@torch.no_grad()
def ours(folder: Path, injection: Any, **changes: Any) -> Tensor:
    pipe = build("sd-warp", weights=folder, prompt=PROMPT, injection=injection, **QUICK | changes)
    return [*pipe.trajectory(*scene(), generator=lambda shape: NOISE)][-1].step.x0


def test_it_is_diffusers_adapter(model: tuple[Path, Any], tmp_path: Path) -> None:
    folder, theirs = model
    file, state = adapter(theirs.unet, tmp_path / "adapter.safetensors")
    vision = encoder(tmp_path / "encoder")
    settings = {"file": str(file), "encoder": str(vision), "scale": 0.6}
    found, plain = ours(folder, Spec("ip-adapter", **settings)), ours(folder, None)
    assert torch.equal(ours(folder, Spec("ip-adapter", **settings), style=0.0), ours(folder, None, style=0.0))
    assert torch.equal(ours(folder, Spec("ip-adapter", **settings, first=0.9)), plain)

    theirs.scheduler = DDIMScheduler.from_config(theirs.scheduler.config, clip_sample=False, timestep_spacing="leading")
    theirs.unet._load_ip_adapter_weights([state])
    theirs.set_ip_adapter_scale(0.6)
    with torch.no_grad():
        pixels = clip_pixels(scene()[1], SIDE)
        embeds = CLIPVisionModelWithProjection.from_pretrained(vision)(pixels).image_embeds[:, None]
    words = {"prompt": "a cat", "negative_prompt": "a blur", "latents": NOISE, "output_type": "latent"}
    both = [torch.cat([torch.zeros_like(embeds), embeds])]
    expected = theirs(ip_adapter_image_embeds=both, **words, **SIZE).images
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - plain).abs().max() > 0.01


@pytest.mark.parametrize("size", [(48, 64), (90, 50)])
def test_clip_sees_what_transformers_would_show_it(size: tuple[int, int]) -> None:
    """A smooth picture: theirs rounds to 8 bits in between."""
    y, x = np.mgrid[: size[0], : size[1]]
    shown = np.stack([np.sin(x / 9) * 0.5 + 0.5, np.cos(y / 7) * 0.5 + 0.5, (x + y) / sum(size)], -1)
    picture = Image.fromarray((255 * shown).round().astype(np.uint8))
    theirs = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE)(picture, return_tensors="pt").pixel_values
    given = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    torch.testing.assert_close(clip_pixels(given, SIDE), theirs, rtol=0, atol=0.03)


def test_what_is_no_adapter_is_refused(model: tuple[Path, Any], tmp_path: Path) -> None:
    vision = str(encoder(tmp_path / "encoder"))
    file, _ = adapter(model[1].unet, tmp_path / "adapter.safetensors")
    with pytest.raises(ValueError, match=r"encoder must be a CLIPVisionModelWithProjection .* got nowhere"):
        create("injection", "ip-adapter", file=str(file), encoder="nowhere")
    save_file({"image_proj.latents": torch.ones(1)}, tmp_path / "plus.safetensors")
    with pytest.raises(ValueError, match=r"image_proj.norm and ip_adapter"):
        create("injection", "ip-adapter", file=str(tmp_path / "plus.safetensors"), encoder=vision)
    made = create("injection", "ip-adapter", file=str(file), encoder=vision)
    with pytest.raises(ValueError, match="injection: Bridge takes no IP-Adapter, the U-Net of Stable Diffusion"):
        build("midm-faces", injection=made)
    del made.keys[0]
    with pytest.raises(ValueError, match=r"the adapter has keys for \d+ layers and the network \d+"):
        ours(model[0], made)
