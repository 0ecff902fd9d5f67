"""Whole presets at a style of 0, from noise on: diffusers' pipelines, whatever is matched, edited and injected."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from dense_attention import CTRLX, UP
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusion_families import saved
from torch import Tensor

from midms import Spec, build
from midms.core.types import Prompt

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
"""Of diffusers' schedulers, by a numpy that is newer than they are."""
STILL = {"structure": 0.0, **CTRLX}
GRAFT = {"layers": ("transformer_blocks",)}
CASES: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("sd1", "sd-warp", {}, 0, "adain"),
    ("sd1", "sd-crossattn", {"injection": Spec("cross-attention", contrast=1.67, guidance=None, **UP)}, 0, "adain"),
    ("sd2", "sd-ctrlx", {"injection": Spec("ctrlx", **STILL)}, 0, "blend"),
    ("sdxl", "sdxl-ctrlx", {"injection": Spec("ctrlx", **STILL)}, 0, "blend"),
    ("sd3", "sd3-graft", {"injection": Spec("graft", **GRAFT)}, 1, "blend"),
    ("flux", "flux-graft", {"injection": Spec("graft", **GRAFT)}, 2, "blend"),
]
"""Family, preset, an injection for tiny networks, the block whose features are matched, an edit."""
STEPS, SIDE = 4, 64


def theirs(pipe: Any, family: str, noise: Tensor, prompt: Prompt) -> Tensor:
    """The latent that diffusers' pipeline makes of the noise."""
    flux, more = family == "flux", {}
    if family in ("sd3", "flux"):
        more["sigmas"] = [1 - i / STEPS for i in range(STEPS)]
    if not flux:
        more["negative_prompt"] = prompt.negative
    latents = pipe._pack_latents(noise, *noise.shape) if flux else noise
    size = {"height": SIDE, "width": SIDE, "num_inference_steps": STEPS, "guidance_scale": prompt.guidance}
    found: Tensor = pipe(prompt.text, latents=latents, output_type="latent", **size, **more).images
    return pipe._unpack_latents(found, SIDE, SIDE, 8) if flux else found


@pytest.mark.parametrize(("family", "preset", "injection", "block", "edit"), CASES)
@torch.no_grad()
def test_a_preset_without_strength_is_diffusers_pipeline(
    family: str, preset: str, injection: dict[str, Any], block: int, edit: str, tmp_path: Path
) -> None:
    pipeline = saved(family, tmp_path / "pipeline")
    prompt = Prompt("a cat", "" if family == "flux" else "a blur", 4.0)
    sampler = Spec("ddim", timesteps=(751, 501, 251, 1), schedule="scaled-linear", eta=0.0)
    if family in ("sd3", "flux"):
        shift = math.exp(calculate_shift((SIDE // 16) ** 2)) if family == "flux" else 3.0
        sampler = Spec("euler", timesteps=(1000, 750, 500, 250), schedule=f"flow:{shift!r}")
    features = Spec("diffusion", network="denoiser", blocks=(block,), draws=1, dropped=())
    loop: dict[str, Any] = {"start": "renoise", "edit": edit, "rematch": (1,), "size": SIDE}
    loop |= {"sampler": sampler, "features": features, "confidence": Spec("peak", threshold=0.01, softness=0.01)}
    pipe = build(preset, weights=tmp_path / "pipeline", prompt=prompt, **loop, **injection)
    condition, exemplar = torch.rand(2, 1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(1, pipe.denoiser.channels, 8, 8, generator=torch.Generator().manual_seed(3))

    def run(style: float) -> Tensor:
        numbers, draws = torch.Generator().manual_seed(0), iter([noise])

        def draw(shape: tuple[int, ...]) -> Tensor:
            return next(draws, torch.randn(shape, generator=numbers))

        moments = [*pipe.replace(style=style).trajectory(condition, 2 * exemplar - 1, generator=draw)]
        assert [moment.rematched for moment in moments] == [False, True, False, False]
        return moments[-1].step.x0

    torch.testing.assert_close(run(0.0), theirs(pipeline, family, noise, prompt), rtol=1e-4, atol=5e-5)
    assert (run(0.5) - run(0.0)).abs().max() > 1e-3
