"""Control: what diffusers' own pipelines of ControlNet and T2I-Adapter give, and injections beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
    T2IAdapter,
    UNet2DConditionModel,
)
from diffusion_families import UNET, WIDTH, saved
from torch import Tensor

from midms import Spec, build, create
from midms.compose.compose import BuildError
from midms.core.types import Prompt
from midms.pipeline.pipeline import Pipeline

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # of diffusers, which mixes in numpy
PROMPT = Prompt("a cat", "a blur", 4.0)
TIMES = (751, 501, 251, 1)
SIZE: dict[str, Any] = {"height": 64, "width": 64, "num_inference_steps": 4, "guidance_scale": 4.0}
QUICK: dict[str, Any] = {
    "features": Spec("diffusion", network="denoiser", blocks=(0,), draws=1),
    "sampler": Spec("ddim", timesteps=TIMES),
    "rematch": (),
    "start": "renoise",
    "size": 64,
}


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp(request.param) / "pipeline"
    return folder, saved(request.param, folder)


def control(theirs: Any, kind: str, folder: Path) -> Path:
    """A network of random numbers in a folder."""
    torch.manual_seed(3)
    if kind == "controlnet":
        made = ControlNetModel.from_unet(theirs.unet, conditioning_embedding_out_channels=(4, 8, 8, 8))
        for weight in made.parameters():
            weight.data = weight + 0.1 * torch.randn_like(weight)  # it begins with zeros
    else:
        made = T2IAdapter(channels=[32, 32], num_res_blocks=1, downscale_factor=8)
    made.save_pretrained(folder)
    return folder


def scene() -> tuple[Tensor, Tensor]:
    condition, exemplar = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return condition, 2 * exemplar - 1


NOISE = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def ours(folder: Path, injection: Any, **changes: Any) -> Tensor:
    pipe: Pipeline = build("sd-warp", weights=folder, prompt=PROMPT, injection=injection, **QUICK | changes)
    return [*pipe.trajectory(*scene(), generator=lambda shape: NOISE)][-1].step.x0


def test_a_controlnet_is_that_of_diffusers_pipeline(model: tuple[Path, Any], tmp_path: Path) -> None:
    folder, theirs = model
    network = control(theirs, "controlnet", tmp_path / "control")
    xl = hasattr(theirs, "text_encoder_2")
    kind = StableDiffusionXLControlNetPipeline if xl else StableDiffusionControlNetPipeline
    components = {name: one for name, one in theirs.components.items() if name != "scheduler"}
    scheduler = DDIMScheduler.from_config(theirs.scheduler.config, clip_sample=False, timestep_spacing="leading")
    more = {"add_watermarker": False} if xl else {"requires_safety_checker": False}
    pipe = kind(**components, scheduler=scheduler, controlnet=ControlNetModel.from_pretrained(network), **more)
    pipe.set_progress_bar_config(disable=True)
    words = {"prompt": "a cat", "negative_prompt": "a blur", "latents": NOISE, "output_type": "latent"}
    found, plain = {}, ours(folder, None)
    for first, last in ((0.0, 1.0), (0.25, 0.75)):
        span = {"control_guidance_start": first, "control_guidance_end": last, "controlnet_conditioning_scale": 0.7}
        expected = pipe(image=scene()[0], **words, **span, **SIZE).images
        found[first] = ours(folder, Spec("control", network=str(network), scale=0.7, first=first, last=last))
        torch.testing.assert_close(found[first], expected, rtol=1e-4, atol=1e-4)
    assert (found[0.0] - plain).abs().max() > 0.01 and (found[0.25] - found[0.0]).abs().max() > 0.01
    assert torch.equal(ours(folder, Spec("control", network=str(network), last=0.0)), plain)


def test_an_adapter_is_that_of_diffusers_pipeline(tmp_path: Path) -> None:
    folder = tmp_path / "sd1"
    theirs = saved("sd1", folder)
    mirrored = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}  # as in Stable Diffusion 1
    mirrored |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    theirs.unet = UNet2DConditionModel(cross_attention_dim=WIDTH, **UNET | mirrored).eval()
    theirs.unet.save_pretrained(folder / "unet")
    network = control(theirs, "adapter", tmp_path / "adapter")
    adapter = T2IAdapter.from_pretrained(network)
    components = {name: one for name, one in theirs.components.items() if name != "image_encoder"}
    pipe = StableDiffusionAdapterPipeline(**components, adapter=adapter, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    words = {"prompt": "a cat", "negative_prompt": "a blur", "latents": NOISE, "output_type": "latent"}
    expected = pipe(image=scene()[0], adapter_conditioning_scale=0.8, **words, **SIZE).images
    found = ours(folder, Spec("control", network=str(network), scale=0.8))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - ours(folder, None)).abs().max() > 0.01


def test_another_injection_stands_beside_it_and_its_references_are_not_controlled(tmp_path: Path) -> None:
    folder = tmp_path / "sd1"
    theirs = saved("sd1", folder)
    network = str(control(theirs, "controlnet", tmp_path / "control"))
    swap = Spec("cross-attention", layers=("up_blocks.0",), first=0.0, contrast=1, structure_every=0)
    alone, controlled = ours(folder, swap), ours(folder, Spec("control", network=network))
    both = ours(folder, Spec("control", network=network, beside=swap))
    assert min((both - one).abs().max() for one in (alone, controlled)) > 0.01
    assert torch.equal(ours(folder, Spec("control", network=network, beside=swap, scale=0.0)), alone)
    passes: list[bool] = []
    made = create("injection", "control", network=network, beside=swap)
    made.network.register_forward_hook(lambda *_: passes.append(True))
    ours(folder, made)
    assert len(passes) == len(TIMES), "one each step, for negative and positive prompt at once, none for the exemplar"


def test_what_is_no_control_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"network must be a ControlNetModel or T2IAdapter .* got Linear"):
        create("injection", "control", network=torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"network must be .* with config.json, got nowhere"):
        create("injection", "control", network="nowhere")
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(ValueError, match="is for 'UNet2DModel', supported: ControlNetModel, T2IAdapter"):
        create("injection", "control", network=str(tmp_path))
    adapter = T2IAdapter(channels=[32, 32], num_res_blocks=1)
    with pytest.raises(ValueError, match="last must be"):
        create("injection", "control", network=adapter, last=1.5)
    with pytest.raises(
        BuildError, match="injection: Bridge takes no control, the U-Net of Stable Diffusion or SDXL does"
    ):
        build("midm-faces", injection=create("injection", "control", network=adapter))
