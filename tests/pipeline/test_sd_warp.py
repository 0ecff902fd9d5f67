"""`sd-warp`: the loop around models of diffusers, from a folder to a picture and into a folder of ours."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusion_families import saved
from sample_pictures import drawing, photo
from torch import Tensor

from midms import Spec, build, cli, from_pretrained
from midms.compose.compose import BuildError
from midms.core.types import Prompt
from midms.pipeline.pipeline import Pipeline

PROMPT = Prompt("a cat", "a blur", 4.0)
QUICK: dict[str, Any] = {"rematch": (1,), "size": 64, "confidence": "always", "matcher": "correlation"}


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("sd1") / "pipeline"
    return folder, saved("sd1", folder)


def made(folder: Path, prompt: Prompt = PROMPT, **changes: Any) -> Pipeline:
    features = Spec("diffusion", network="denoiser", blocks=(0,), draws=1)
    sampler = Spec("ddim", timesteps=(501, 251, 1))  # with the weights' schedule
    changes = {"features": features, "sampler": sampler} | QUICK | changes
    return build("sd-warp", weights=folder, prompt=prompt, **changes)


def scene() -> tuple[Tensor, Tensor]:
    condition, exemplar = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return condition, 2 * exemplar - 1


def test_a_photo_is_translated_and_the_result_comes_back_from_a_folder(sd1: tuple[Path, Any], tmp_path: Path) -> None:
    pipe = made(sd1[0])
    result = pipe.translate(photo(80, 64), photo(64, 90), seed=1)
    assert result.image.size == (64, 51) and result.image.getextrema() != ((0, 0),) * 3
    pipe.save_pretrained(tmp_path / "ours")
    again = from_pretrained(tmp_path / "ours")
    with torch.no_grad():
        first, second = (one(*scene(), generator=torch.Generator().manual_seed(0)) for one in (pipe, again))
    assert torch.equal(first, second), "prompts are kept beside the weights"
    other = made(sd1[0], Prompt("a dog"))
    assert not torch.allclose(first, other(*scene(), generator=torch.Generator().manual_seed(0)), atol=1e-3)


@torch.no_grad()
def test_where_nothing_is_edited_the_loop_is_diffusers_from_its_start_on(sd1: tuple[Path, Any]) -> None:
    """x0 is looked at and left: the warp is where the loop starts, and nothing more."""
    folder, theirs = sd1
    pipe = made(folder, edit="context", sampler=Spec("ddim", timesteps=(751, 501, 251, 1)))
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    moments = [*pipe.trajectory(*scene(), generator=lambda shape: noise)]
    level = pipe.sampler.levels[0]
    start = level.alpha * moments[0].warp + level.sigma * noise
    size = {"height": 64, "width": 64, "num_inference_steps": 4, "guidance_scale": 4.0}
    latent = theirs("a cat", negative_prompt="a blur", latents=start, output_type="latent", **size).images
    assert [moment.rematched for moment in moments] == [False, True, False, False]
    torch.testing.assert_close(moments[-1].step.x0, latent, rtol=1e-4, atol=5e-5)


def test_flux_takes_the_place_of_stable_diffusion(tmp_path: Path) -> None:
    saved("flux", tmp_path / "pipeline")
    pipe = made(tmp_path / "pipeline", Prompt("a cat"), features=Spec("diffusion", network="denoiser", blocks=(2,)))
    assert [level.alpha + level.sigma for level in pipe.sampler.levels] == pytest.approx([1.0, 1.0, 1.0])
    shift = math.exp(calculate_shift(4096))
    assert pipe.sampler.levels[0].sigma == pytest.approx(shift * 0.501 / (1 + (shift - 1) * 0.501))
    result = pipe(*scene(), generator=torch.Generator().manual_seed(0))
    assert result.shape == (1, 3, 64, 64) and result.isfinite().all()


def test_the_shell_takes_a_prompt(sd1: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawing(64, 64).save(tmp_path / "drawing.png")
    photo(64, 64).save(tmp_path / "photo.png")
    given = ["translate", "--condition", tmp_path / "drawing.png", "--exemplar", tmp_path / "photo.png"]
    given += ["--out", tmp_path / "out.png", "--preset", "sd-warp", "--size", "64", "--rematch", "1"]
    given += ["--features", "diffusion(network=denoiser, blocks=(0,), draws=1)"]
    given += ["--sampler", "ddim(timesteps=(501, 251))"]
    words = ["--prompt", "a cat", "--negative-prompt", "a blur", "--guidance", "4"]
    assert cli.main([*map(str, given), "--weights", str(sd1[0]), *words]) == 0
    assert (tmp_path / "out.png").exists()
    (tmp_path / "out.png").unlink()
    assert cli.main([*map(str, given), "--weights", str(sd1[0]), *words, "--dtype", "bfloat16", "--vae-tiling"]) == 0
    assert (tmp_path / "out.png").exists()
    shutil.copytree(sd1[0], tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "text_encoder")
    assert cli.main([*map(str, given), "--weights", str(tmp_path / "copy"), *words]) == 2
    assert "has no text_encoder/, expected that of the whole pipeline" in capsys.readouterr().err


CTRLX = {
    "appearance_layers": ("down_blocks.1", "up_blocks.0"),
    "structure_layers": ("up_blocks.0",),
    "structure_results": ("up_blocks.0.resnets.0",),
}
CALM: dict[str, Any] = {"sampler": Spec("ddim", timesteps=(751, 501, 251, 1), eta=0.0), "style": 0.0}


@torch.no_grad()
def test_sd_ctrlx_without_strength_is_diffusers_pipeline_from_noise(sd1: tuple[Path, Any], tmp_path: Path) -> None:
    """The whole preset: it starts from noise, and its injection has no strength; with some it gives another picture."""
    folder, theirs = sd1
    quick = {"features": Spec("diffusion", network="denoiser", blocks=(0,), draws=1), "size": 64}
    still = Spec("ctrlx", structure=0.0, **CTRLX)
    pipe = build("sd-ctrlx", weights=folder, prompt=PROMPT, injection=still, **quick, **CALM)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    moments = [*pipe.trajectory(*scene(), generator=lambda shape: noise)]
    size = {"height": 64, "width": 64, "num_inference_steps": 4, "guidance_scale": 4.0}
    latent = theirs("a cat", negative_prompt="a blur", latents=noise, output_type="latent", **size).images
    torch.testing.assert_close(moments[-1].step.x0, latent, rtol=1e-4, atol=5e-5)

    other = {**quick, **CALM, "style": 1.0, "injection": Spec("ctrlx", **CTRLX)}
    strong = build("sd-ctrlx", weights=folder, prompt=PROMPT, **other)
    strong.save_pretrained(tmp_path / "ours")
    pipes = strong, from_pretrained(tmp_path / "ours")
    first, again = (one(*scene(), generator=torch.Generator().manual_seed(3)) for one in pipes)
    assert torch.equal(first, again) and (first - pipe.autoencoder.decode(latent)).abs().max() > 0.01


def test_what_does_not_go_together_is_said_at_once(sd1: tuple[Path, Any]) -> None:
    with pytest.raises(BuildError, match=r"injection: layers: .* no self-attention in 'up_blocks.2', 'up_blocks.3'"):
        made(sd1[0], injection="cross-attention")
    with pytest.raises(BuildError, match="injection: Bridge has no layers to inject into; a model of diffusers has"):
        build("midm-faces", injection="graft")
    with pytest.raises(BuildError, match="start must be one of noise, renoise, invert, edit-friendly, got 'here'"):
        made(sd1[0], start="here")
    with pytest.raises(BuildError, match=r"weights: flux-graft has none of its own, expected a folder of diffusers"):
        build("flux-graft")


def test_a_prompt_for_nobody_is_refused() -> None:
    with pytest.raises(BuildError, match="prompt: changes nothing without weights of a text-to-image model"):
        build("midm-faces", prompt="a cat")
    with pytest.raises(BuildError, match="guidance: changes nothing without weights"):
        build("midm-faces", prompt=Prompt(guidance=3.0))
